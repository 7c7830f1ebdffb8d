"""Runs against endpoints whose replies are odd: no row is paid for again and again, and no run ends for a reply."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.jobs import JobFolder, rows_sent, run_here, status_json
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_body, chat_reply, error, http
from tests.support.scripts import Tries, first_attempts, for_rows, row_number
from tests.support.streams import delta, sse, sse_text, usage_chunk

SCHEMA = {"type": "object", "properties": {"label": {"enum": ["bug", "wish"]}}, "required": ["label"], "additionalProperties": False}


def test_odd_replies_among_others(tmp_path: Path) -> None:
    """Fault 61: odd usages, deltas, encodings and nesting among good replies: all rows are answered once, exit 0."""
    odd: dict[int, bytes] = {
        2: chat_reply(usage={"prompt_tokens": "7", "completion_tokens": [3], "total_tokens": {}}),
        3: chat_reply(usage={"prompt_tokens": -1, "completion_tokens": 10**18, "total_tokens": True}),
        4: chat_reply(usage={"prompt_tokens": 7, "prompt_tokens_details": [[]], "completion_tokens_details": {"x": {"y": {}}}}),
        5: sse(delta(content="a", annotations=""), delta(annotations=[{"x": 1}]), delta("stop"), usage_chunk()),
        6: http(200, chat_body("hi"), {"content-encoding": "utf-8"}, content_type="text/event-stream"),
        7: http(200, chat_body("hi").replace(b'"index":0', b'"index":0,"x":' + b"[" * 300 + b"]" * 300)),
        8: http(200, chat_body("hi").replace(b"1700000000", b"NaN")),
    }

    def handler(received: Received) -> Iterable[Action]:
        return [odd.get(row_number(received)) or chat_reply()]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=12)
        session = run_here(folder)
        assert rows_sent(endpoint) == 12
    assert (session.exit_code, session.tally.ok) == (0, 12)
    for line in folder.completions():
        assert all(
            isinstance(count, int) and 0 <= count < 10**12 for name, count in (line["usage"] or {}).items() if name.endswith("tokens")
        )


NO_CONTENT = http(200, chat_body("x").replace(b'"message":{"role":"assistant","content":"x"}', b'"answer":"x"'))
NO_ENDING = chat_reply("", finish_reason=None)


@pytest.mark.parametrize(
    ("reply", "attempts"),
    [(NO_CONTENT, 1), (NO_ENDING, 2), (sse(delta(content="Paris"), usage_chunk()), 2)],
    ids=["of another form", "cut short", "cut short in a stream"],
)
def test_a_finished_answer_that_cannot_be_read_is_paid_for_twice_at_most(tmp_path: Path, reply: bytes, attempts: int) -> None:
    """Fault 66: whole answers of another form are paid for once, those that were cut short twice; the endpoint stays in order, exit 1."""

    def handler(received: Received) -> Iterable[Action]:
        return answer(received) if row_number(received) % 4 else [reply]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=16, stream=reply.count(b"data:") > 0)
        session = run_here(folder)
        assert rows_sent(endpoint) == 12 + attempts * 4
    assert (session.exit_code, session.tally.failed, session.tally.doubled) == (1, 4, 4 * (attempts - 1))
    assert {line["attempts"] for line in folder.errors()} == {attempts}
    assert not [notice for notice in session.notices if "out of order" in notice]


def test_a_vector_of_nulls_is_paid_for_once(tmp_path: Path) -> None:
    """Fault 66: an embedding that holds something else than numbers fails its row with the first attempt; the others are answered."""
    nulls = http(200, orjson.dumps({"object": "list", "data": [{"index": 0, "embedding": [None, None]}], "usage": {"prompt_tokens": 4}}))
    with ScriptedEndpoint(for_rows(lambda received: [nulls] if row_number(received) == 1 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4)
        folder.job.write_text(folder.job.read_text().replace("user =", 'api = "embeddings"\ntext =').replace("temperature = 0", ""))
        session = run_here(folder)
        assert rows_sent(endpoint) == 4
    assert (session.exit_code, session.tally.ok, session.tally.doubled) == (1, 3, 0)


def test_calls_that_cannot_be_distinguished_are_paid_for_once(tmp_path: Path) -> None:
    """Fault 26: deltas of one index without ids whose arguments are no single JSON text fail their row with the first attempt."""

    def call(arguments: str, **more: Any) -> dict[str, Any]:
        return delta(tool_calls=[{"index": 0, "type": "function", "function": {"arguments": arguments, **more}}])

    merged = sse(call("", name="glob"), call('{"a":1}', name=""), call('{"b":2}', name=""), delta("tool_calls"), usage_chunk())
    with ScriptedEndpoint(for_rows(lambda received: [merged] if row_number(received) == 1 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, stream=True)
        session = run_here(folder)
        assert rows_sent(endpoint) == 4
    assert (session.exit_code, session.tally.ok, folder.errors()[0]["error"]["code"]) == (1, 3, "no_choices")


def test_a_whole_answer_without_an_ending_is_kept_counted_and_shown(tmp_path: Path) -> None:
    """Faults 65 and 66: a plain reply came whole although its finish_reason is null or absent: read once, as the SDK does, and reported."""
    absent = http(200, chat_body("Rome").replace(b',"finish_reason":"stop"', b""))
    replies = {1: chat_reply("Paris", finish_reason=None), 2: absent}

    def handler(received: Received) -> Iterable[Action]:
        return [replies.get(row_number(received)) or chat_reply("Bern")]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4, concurrency=1)
        session = run_here(folder)
        assert rows_sent(endpoint) == 4
    assert (session.exit_code, session.tally.ok, session.tally.unknown_endings) == (0, 4, 2)
    found = [(line["completion"], line["finish_reason"]) for line in folder.completions()]
    assert found == [("Bern", "stop"), ("Paris", None), ("Rome", None), ("Bern", "stop")]
    (shown,) = [notice for notice in session.notices if "without a finish_reason" in notice]
    assert "row 1 (id r1)" in shown
    assert status_json(folder)[0]["unknown_endings"] == 2


def test_a_reply_that_was_written_twice_is_read(tmp_path: Path) -> None:
    """Fault 66: a reply that a gateway wrote as the text of a JSON string is read, once, and kept as the object that it is."""

    def handler(received: Received) -> Iterable[Action]:
        return [http(200, orjson.dumps(chat_body(f"answer to {received.prompt}").decode()))]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        session = run_here(folder)
        assert (session.exit_code, rows_sent(endpoint)) == (0, 5)
    assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in folder.rows]


def test_a_call_that_the_model_spoiled_is_asked_for_once_more(tmp_path: Path) -> None:
    """Fault 66: an ending that says so is that of a whole answer, paid for each time: two requests, and the row fails as an output."""
    with ScriptedEndpoint(for_rows(lambda _: [http(200, chat_body(None, finish_reason="MALFORMED_FUNCTION_CALL"))])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        session = run_here(folder)
        assert (session.exit_code, rows_sent(endpoint)) == (1, 6)
    assert {(line["error"]["kind"], line["error"]["code"]) for line in folder.errors()} == {("output", "answer_not_json")}


def test_work_that_is_queued_with_a_remark_is_sent_once(tmp_path: Path) -> None:
    """A state of work that goes on is no error, whatever stands beside it: each request would be billed."""
    queued = orjson.dumps({"id": "x", "status": "queued", "message": "your request was queued", "code": 200})
    with ScriptedEndpoint(for_rows(lambda _: [http(200, queued)])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        run_here(folder)
        assert rows_sent(endpoint) == 3
    assert {line["error"]["code"] for line in folder.errors()} == {"queued"}


def test_unreadable_answers_alone_do_not_use_up_the_input(tmp_path: Path) -> None:
    """Promise 13: an endpoint that gives nothing but unreadable answers stops the run after the first 20 rows."""
    with ScriptedEndpoint(for_rows(lambda _: [NO_CONTENT])) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=200, concurrency=4))
    assert session.exit_code == 5
    assert session.tally.failed < 30


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_ending_is_kept_counted_and_shown(tmp_path: Path, stream: bool) -> None:
    """Fault 65: an ending of no dialect stays as it is in the output, is counted, and is shown in the notices and in status."""

    def handler(received: Received) -> Iterable[Action]:
        reason = "vibes" if row_number(received) in (1, 4) else "end_turn"
        return [sse_text("x", finish_reason=reason) if stream else chat_reply("x", finish_reason=reason)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, concurrency=1, stream=stream)
        session = run_here(folder)
    assert (session.exit_code, session.tally.unknown_endings) == (0, 2)
    assert [line["finish_reason"] for line in folder.completions()] == ["stop", "vibes", "stop", "stop", "vibes", "stop"]
    (shown,) = [notice for notice in session.notices if "vibes" in notice]
    assert "row 1 (id r1)" in shown
    assert status_json(folder)[0]["unknown_endings"] == 2


def test_endings_of_other_dialects_are_labelled(tmp_path: Path) -> None:
    """Fault 65: an answer cut by the token limit, or stopped by a filter, is counted as that in whatever words it comes."""
    words = [
        "MAX_TOKENS",
        "max_tokens",
        "model_length",
        "SAFETY",
        "content_filter: PROHIBITED_CONTENT",
        "sensitive",
        "eos",
        "stop_sequence",
    ]
    with ScriptedEndpoint(for_rows(lambda received: [chat_reply(finish_reason=words[row_number(received)])])) as endpoint:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=len(words)))
    assert (session.exit_code, session.tally.truncated, session.tally.filtered, session.tally.unknown_endings) == (0, 3, 3, 0)


def test_several_answers_in_one_reply_are_reported(tmp_path: Path) -> None:
    """Of several answers in one reply the outputs have all, in order; the run says so once."""
    document = orjson.loads(chat_body("first"))
    document["choices"].append({"index": 1, "message": {"role": "assistant", "content": "second"}, "finish_reason": "stop"})
    with ScriptedEndpoint(for_rows(lambda _: [http(200, orjson.dumps(document))])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5, concurrency=1)
        session = run_here(folder)
    assert [line["completion"] for line in folder.completions()] == [["first", "second"]] * 5
    (shown,) = session.notices
    assert "row 0 (id r0) got 2 answers in one reply" in shown


GENERATED = '{"label": '
REFUSED = error(400, {"error": {"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": GENERATED}})


def test_an_answer_in_the_form_of_an_error_is_repaired(tmp_path: Path) -> None:
    """Groq's json_validate_failed is an answer that does not fit: the model is shown its own text and what was wrong, as for any other."""

    def handler(received: Received) -> Iterable[Action]:
        return [REFUSED] if len(received.json()["messages"]) == 1 else [chat_reply('{"label": "bug"}')]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4)
        session = run_here(folder, f"prompt.schema={json.dumps(SCHEMA).replace(chr(34) + ': ', chr(34) + ' = ')}")
        repaired = [
            received.json()["messages"] for received in endpoint.requests if received.body and len(received.json()["messages"]) == 3
        ]
    assert (session.exit_code, session.tally.repairs, session.tally.requests) == (0, 4, 8)
    assert repaired[0][1] == {"role": "assistant", "content": GENERATED}


def test_an_answer_in_the_form_of_an_error_is_tried_once_more(tmp_path: Path) -> None:
    """Without a schema to repair by, such an answer is asked for once more, and then fails as an output, not as a bad request."""
    with ScriptedEndpoint(for_rows(lambda received: [REFUSED] if row_number(received) == 2 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4)
        session = run_here(folder)
    (failed,) = folder.errors()
    assert (failed["error"]["kind"], failed["error"]["code"], failed["attempts"]) == ("output", "answer_not_json", 2)
    assert session.exit_code == 1
    passing = first_attempts({2: [REFUSED]})
    with ScriptedEndpoint(passing) as endpoint:
        (tmp_path / "second").mkdir()
        assert run_here(JobFolder(tmp_path / "second", endpoint.url, rows=4)).exit_code == 0


def test_queued_work_is_sent_once(tmp_path: Path) -> None:
    """A request that is accepted and queued is not sent again: each would be billed."""
    tries = Tries()

    def handler(received: Received) -> Iterable[Action]:
        tries.of(received)
        return [http(202, b"")] if row_number(received) == 1 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        session = run_here(folder)
        assert tries.of(next(received for received in endpoint.requests if received.body and row_number(received) == 1)) == 2
    assert (session.exit_code, folder.errors()[0]["error"]["code"]) == (1, "queued")


@pytest.mark.parametrize(
    "refusal",
    [
        {"error": {"message": "Content Exists Risk", "type": "invalid_request_error", "code": "invalid_request_error"}},
        {"error": {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"}},
        {"error": {"code": "1301", "message": "System detected potentially unsafe or sensitive content in input or generation."}},
        {"error": {"code": "SensitiveContentDetected", "message": "The request failed."}},
    ],
)
def test_content_filters_by_other_names(tmp_path: Path, refusal: dict[str, Any]) -> None:
    """A filter's refusal is content_filter under whatever name it comes: the row fails once, the others are answered."""
    with ScriptedEndpoint(for_rows(lambda received: [error(400, refusal)] if row_number(received) == 1 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=4)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok) == (1, 3)
    assert (folder.errors()[0]["error"]["code"], folder.errors()[0]["attempts"]) == ("content_filter", 1)
