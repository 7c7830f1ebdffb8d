"""Answers go out again as training data: chats with their answers, chosen by score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.batch_families import message
from tests.support.jobs import JobFolder, lines_of
from tests.support.pictures import picture
from tests.support.scripted import Received, ScriptedEndpoint, chat_reply, http

RIGHT = '\n[[score]]\nname = "names-it"\nkind = "exact"\nexpected = "gold"\n'


def answer(received: Received) -> list[bytes]:
    """Even questions are answered rightly; the last answer is cut off."""
    if not received.body:
        return [chat_reply("")]
    number = int(received.json()["messages"][-1]["content"].split()[-1])
    return [chat_reply("yes" if number % 2 == 0 else "no", finish_reason="length" if number == 8 else "stop")]


@pytest.fixture
def finished(tmp_path: Path) -> JobFolder:
    """A run of ten rows with a score, the right answer always being yes."""
    rows = [{"id": f"r{number}", "text": f"question {number}", "gold": "yes"} for number in range(10)]
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, preflight=False)
        text = folder.job.read_text().replace("[prompt]\n", '[prompt]\nsystem = "Be brief."\n')
        folder.job.write_text(text + RIGHT)
        assert folder.call().returncode == 0
    return folder


def test_chats_hold_the_messages_and_the_answer(finished: JobFolder) -> None:
    """`--format chat` writes each whole answer after the messages that were sent; cut answers are left out and counted."""
    ended = finished.call("export", "runs/test", "--format", "chat")
    assert ended.returncode == 0, ended.stderr
    lines = lines_of(finished.directory / "chat.jsonl")
    assert len(lines) == 9
    assert "9 answers; omitted: 1 cut off or filtered" in ended.stderr
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "question 1"}]
    assert lines[1] == {"messages": [*asked, {"role": "assistant", "content": "no"}]}


def test_a_condition_on_a_score_chooses_answers(finished: JobFolder) -> None:
    """`--where` takes the answers with this score, which is brought up to date first; an unknown score is an error with those there are."""
    ended = finished.call("export", "test.toml", "--format", "sharegpt", "--where", "names-it >= 1", "--output", "out")
    assert ended.returncode == 0, ended.stderr
    lines = lines_of(finished.path / "out" / "sharegpt.jsonl")
    assert [line["id"] for line in lines] == ["r0", "r2", "r4", "r6"]
    assert lines[0]["conversations"] == [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "question 0"},
        {"from": "gpt", "value": "yes"},
    ]
    wrong = finished.call("export", "runs/test", "--format", "chat", "--where", "nams >= 1")
    assert wrong.returncode == 2
    assert "there is no score 'nams'; the job has names-it" in wrong.stderr
    assert finished.call("export", "runs/test", "--format", "jsonl", "--where", "names-it >= 1").returncode == 2


def test_rows_that_changed_are_left_out(finished: JobFolder) -> None:
    """An answer whose row reads otherwise now is not written beside another question."""
    rows = [{**row, "text": "another"} if row["id"] == "r3" else row for row in finished.rows]
    (finished.path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = finished.call("export", "runs/test", "--format", "chat")
    assert "1 of rows that read otherwise now" in ended.stderr
    assert len(lines_of(finished.directory / "chat.jsonl")) == 8


def test_pictures_and_calls_of_tools_in_both_forms(tmp_path: Path) -> None:
    """Chats keep parts and calls as they are; ShareGPT names pictures in the text and lists them, and writes calls as turns."""
    (tmp_path / "a.png").write_bytes(picture())
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    with ScriptedEndpoint(lambda received: [chat_reply(None, tool_calls=[call], finish_reason="tool_calls")]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=[{"id": "r", "text": "see", "photo": "a.png"}], preflight=False)
        tools = 'tools = [{type = "function", function = {name = "look"}}]'
        text = (
            folder.job.read_text()
            .replace("[prompt]\n", '[prompt]\nimages = "photo"\n')
            .replace("temperature = 0\n", f"temperature = 0\n{tools}\n")
        )
        folder.job.write_text(text)
        assert folder.call().returncode == 0
    for form in ("chat", "sharegpt"):
        assert folder.call("export", "runs/test", "--format", form).returncode == 0
    (chat,), (shared,) = (lines_of(folder.directory / f"{form}.jsonl") for form in ("chat", "sharegpt"))
    assert chat["messages"][0]["content"][1]["type"] == "image_url"
    assert chat["messages"][1]["tool_calls"] == [call]
    assert chat["tools"][0]["function"]["name"] == "look"
    assert [turn["from"] for turn in shared["conversations"]] == ["human", "function_call"]
    assert shared["conversations"][0]["value"] == "see\n<image>"
    assert shared["images"][0].startswith("data:image/png;base64,")
    assert json.loads(shared["tools"])[0]["function"]["name"] == "look"


def reply_of(received: Received) -> list[bytes]:
    """An answer of the API that was called."""
    if received.path.endswith("/messages"):
        said = {**message(received.json()), "content": [{"type": "text", "text": "answer to see"}]}
        return [http(200, json.dumps(said).encode())]
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "answer to see"}]}
    return [http(200, json.dumps({"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}).encode())]


@pytest.mark.parametrize("api", ["messages", "responses"])
def test_requests_of_other_apis_are_written_as_chats(tmp_path: Path, api: str) -> None:
    """The system message, pictures and tools of a Messages or Responses request are those of the chat of which it was made."""
    (tmp_path / "a.png").write_bytes(picture())
    with ScriptedEndpoint(reply_of) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=[{"id": "r", "text": "see", "photo": "a.png"}], preflight=False)
        asked = f'[prompt]\napi = "{api}"\nsystem = "Be brief."\nimages = "photo"\n'
        tools = 'tools = [{type = "function", function = {name = "look", parameters = {}}}]'
        text = folder.job.read_text().replace("[prompt]\n", asked).replace("temperature = 0\n", f"temperature = 0\n{tools}\n")
        folder.job.write_text(text)
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
    for form in ("chat", "sharegpt"):
        assert folder.call("export", "runs/test", "--format", form).returncode == 0
    (chat,), (shared,) = (lines_of(folder.directory / f"{form}.jsonl") for form in ("chat", "sharegpt"))
    system, user, said = chat["messages"]
    assert (system, said) == ({"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "answer to see"})
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert user["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert chat["tools"] == [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    assert [turn["value"] for turn in shared["conversations"]] == ["Be brief.", "see\n<image>", "answer to see"]
