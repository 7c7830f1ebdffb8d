"""Answers held to a schema in whole runs: checked as they come, asked for again, accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, Session, rows_sent, run_here, whole_records
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply
from tests.support.scripts import for_rows
from tests.support.streams import sse_text

SCHEMA = {"type": "object", "properties": {"label": {"enum": ["bug", "wish"]}}, "required": ["label"], "additionalProperties": False}
GOOD, BAD = '{"label": "bug"}', '{"label": "praise"}'


def turns(received: Received) -> int:
    """How many messages the request has: 1 at first, 3 after the first repair."""
    return len(received.json()["messages"])


def run_with_schema(folder: JobFolder, *overrides: str, **schema: object) -> Session:
    """Run the folder's job with SCHEMA in its prompt."""
    inline = json.dumps({**SCHEMA, **schema})
    toml = inline.replace('": ', '" = ')
    return run_here(folder, f"prompt.schema={toml}", *overrides)


def test_an_answer_that_does_not_fit_is_asked_for_again(tmp_path: Path) -> None:
    """The model is told what was wrong; its second answer counts, and both answers' tokens are accounted for (promises 1, 4, 5)."""

    def handler(received: Received) -> Iterable[Action]:
        return [chat_reply(GOOD if turns(received) == 3 or "question 0" in received.prompt else BAD)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=10)
        session = run_with_schema(folder)
        assert rows_sent(endpoint) == 19
        last = next(received for received in endpoint.requests if received.body and turns(received) == 3).json()
    assert (session.exit_code, session.tally.ok, session.tally.repairs, session.tally.requests) == (0, 10, 9, 19)
    assert session.tally.prompt_tokens == 19 * 7
    assert {line["completion"] for line in folder.completions()} == {GOOD}
    assert folder.completions()[1]["usage"] == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
    assert [line["attempts"] for line in folder.completions()] == [1] + [2] * 9
    assert last["messages"][1] == {"role": "assistant", "content": BAD}
    assert "$.label: 'praise' is not one of ['bug', 'wish']" in last["messages"][2]["content"]
    assert last["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_a_row_fails_when_no_answer_fits(tmp_path: Path, stream: bool) -> None:
    """After the repairs the row is an error of kind output, with its last answer in the journal; the others are not touched."""

    def handler(received: Received) -> Iterable[Action]:
        text = BAD if "question 3" in received.json()["messages"][0]["content"] else GOOD
        return [sse_text(text) if stream else chat_reply(text)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=10, stream=stream)
        session = run_with_schema(folder, "run.repair=2")
        assert rows_sent(endpoint) == 12
    assert (session.exit_code, session.tally.ok, session.tally.failed, session.tally.repairs) == (1, 9, 1, 2)
    (line,) = folder.errors()
    assert (line["error"]["kind"], line["error"]["code"], line["attempts"]) == ("output", "schema_violation", 3)
    (record,) = [record for record in whole_records(folder.directory) if not record.ok]
    assert json.loads(record.response or b"")["choices"][0]["message"]["content"] == BAD
    assert run_with_schema(folder, "run.repair=2").tally.kept_failed == 1


def test_where_the_endpoint_promises_answers_that_fit_none_is_asked_twice(tmp_path: Path) -> None:
    """Off for what the endpoint enforces itself: no repair by default, but the check stays; check_schema = false leaves it out too."""

    def handler(received: Received) -> Iterable[Action]:
        return [chat_reply(BAD if "question 1" in received.prompt else GOOD)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5, provider='json_schema = "strict"')
        session = run_with_schema(folder)
        assert (session.exit_code, session.tally.failed, rows_sent(endpoint)) == (1, 1, 5)
        folder.directory = tmp_path / "runs" / "unchecked"
        session = run_with_schema(folder, "prompt.check_schema=false")
        assert (session.exit_code, session.tally.ok) == (0, 5)


def test_a_job_whose_answers_never_fit_is_stopped(tmp_path: Path) -> None:
    """When the first 20 answers are all no JSON, the job is wrong and not the rows: stopped with 5, not billed to the end."""
    with ScriptedEndpoint(for_rows(lambda _: [chat_reply("Sure! Here is the JSON.")])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=1)
        session = run_with_schema(folder, "run.repair=0")
        assert rows_sent(endpoint) == 20
    assert session.exit_code == 5
    assert "answer_not_json" in session.reason


def test_another_schema_is_a_change(tmp_path: Path) -> None:
    """Promise 9: answers to an earlier schema are not taken for answers to this one; what changed is named."""
    with ScriptedEndpoint(for_rows(lambda _: [chat_reply(GOOD)])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        run_with_schema(folder)
        with pytest.raises(Exception, match=r"5 finished rows .*schema"):
            run_with_schema(folder, title="other")


@pytest.mark.local_model
def test_the_embedded_model_keeps_to_a_schema(tmp_path: Path) -> None:
    """llama.cpp holds a model of 135 million parameters to the schema: every answer fits, none is asked for twice."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:1", rows=4, model="local/smollm2", user="Is this a bug or a wish? {{ text }}")
    folder.job.write_text(folder.job.read_text() + "\n[provider.local]\nparallel = 2\ncontext = 256\n")
    session = run_with_schema(folder, "model.max_tokens=32", "run.concurrency=2")
    assert (session.exit_code, session.tally.ok, session.tally.requests) == (0, 4, 4)
    for line in folder.completions():
        assert json.loads(line["completion"])["label"] in {"bug", "wish"}
