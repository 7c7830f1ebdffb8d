"""Jobs whose prompt calls the Responses API: plain and streamed, with schemas and pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder
from tests.support.pictures import files_of, picture, sha
from tests.support.scripted import Received, ScriptedEndpoint, http

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def response(text: str, status: str = "completed", **members: Any) -> dict[str, Any]:
    """A response as OpenAI gives it."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"id": "r", "object": "response", "status": status, "model": "m", "output": [message], "usage": USAGE, **members}


def events(*documents: dict[str, Any]) -> bytes:
    """A stream of events."""
    text = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in documents)
    return http(200, text.encode(), content_type="text/event-stream")


def streamed(text: str, last: dict[str, Any] | None) -> bytes:
    """An answer as a stream."""
    begun = {"type": "response.created", "response": {"object": "response", "status": "in_progress", "output": []}}
    deltas = [{"type": "response.output_text.delta", "delta": piece} for piece in text]
    return events(begun, *deltas, *([] if last is None else [last]))


def job(tmp_path: Path, url: str, prompt: str = "", **settings: Any) -> JobFolder:
    """A job over the Responses API."""
    folder = JobFolder(tmp_path, url, rows=settings.pop("rows", 3), preflight=False, **settings)
    folder.job.write_text(folder.job.read_text().replace("[prompt]\n", f'[prompt]\napi = "responses"\n{prompt}\n'))
    return folder


@pytest.mark.parametrize("stream", [False, True])
def test_answers_of_responses(tmp_path: Path, stream: bool) -> None:
    """The answer, its ending and its usage are read in a chat's words, plain and streamed; a streamed one has its first token's time."""

    def handler(received: Received) -> list[bytes]:
        assert received.path == "/v1/responses"
        body = received.json()
        text = f"to {body['input'][0]['content']}"
        assert body["instructions"] == "Be brief."
        assert body.get("stream", False) is stream
        assert "stream_options" not in body
        whole = response(text)
        return [streamed(text, {"type": "response.completed", "response": whole}) if stream else http(200, json.dumps(whole).encode())]

    with ScriptedEndpoint(handler) as endpoint:
        folder = job(tmp_path, endpoint.url, 'system = "Be brief."', stream=stream)
        ended = folder.call()
    assert ended.returncode == 0, ended.stderr
    for line in folder.completions():
        assert line["completion"] == f"to {line['text']}"
        assert line["finish_reason"] == "stop"
        assert (line["usage"]["prompt_tokens"], line["usage"]["completion_tokens"]) == (3, 2)
        assert (line["first_token_s"] is not None) is stream


def test_a_stream_without_its_last_event_is_no_answer(tmp_path: Path) -> None:
    """Promise 5: an answer whose stream was cut is sent again; one that was incomplete is labelled by its reason."""
    cut = response("half", "incomplete", incomplete_details={"reason": "max_output_tokens"})
    replies = iter([streamed("whole", None), streamed("half", {"type": "response.incomplete", "response": cut})])
    with ScriptedEndpoint(lambda _: [next(replies)]) as endpoint:
        folder = job(tmp_path, endpoint.url, stream=True, rows=1, concurrency=1)
        ended = folder.call()
    assert ended.returncode == 0, ended.stderr
    (line,) = folder.completions()
    assert (line["completion"], line["finish_reason"], line["attempts"]) == ("half", "length", 2)


def test_a_response_that_failed_is_tried_again(tmp_path: Path) -> None:
    """response.failed is a server's error, not an answer."""
    failed = response("", "failed", error={"code": "server_error", "message": "broken"})
    good = {"type": "response.completed", "response": response("good")}
    replies = iter([streamed("x", {"type": "response.failed", "response": failed}), streamed("good", good)])
    with ScriptedEndpoint(lambda _: [next(replies)]) as endpoint:
        folder = job(tmp_path, endpoint.url, stream=True, rows=1, concurrency=1)
        assert folder.call().returncode == 0
    assert folder.completions()[0]["completion"] == "good"


def test_pictures_and_a_schema(tmp_path: Path) -> None:
    """Pictures are input_image, the schema is text.format, and an answer that does not fit is asked for again."""
    (tmp_path / "a.png").write_bytes(picture())
    answers = iter(["no", '{"a": 1}'])
    with ScriptedEndpoint(lambda _: [http(200, json.dumps(response(next(answers))).encode())]) as endpoint:
        prompt = 'images = "photo"\nschema = {type = "object", required = ["a"]}'
        folder = job(tmp_path, endpoint.url, prompt, rows=[{"id": "r", "text": "x", "photo": "a.png"}])
        ended = folder.call()
        bodies = [received.json() for received in endpoint.requests]
    assert ended.returncode == 0, ended.stderr
    assert [files_of({"input": body["input"][:1]}) for body in bodies] == [[sha(picture())]] * 2
    assert bodies[0]["text"]["format"]["schema"]["required"] == ["a"]
    assert bodies[0]["input"][0]["content"][1]["image_url"].endswith(base64.b64encode(picture()).decode())
    assert len(bodies[1]["input"]) == 3
