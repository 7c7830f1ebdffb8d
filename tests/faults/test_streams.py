"""What a run makes of streams that end, stall or mix in ways of their own: faults 20 to 26."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder, Session, run_here, whole_records
from tests.support.scripted import HANG, RESET, Action, Received, ScriptedEndpoint, Sleep, answer
from tests.support.scripts import Tries, for_rows, row_number
from tests.support.streams import STREAM_END, delta, event, piece, sse, stream_head, usage_chunk

TEXT = [delta(role="assistant", content=""), delta(content="Paris, "), delta(content="naïve 🙂")]
ANSWER = "Paris, naïve 🙂"
INNER = {"error": {"message": "engine is overloaded", "type": "server_error", "code": 503}}


def streamed(tmp_path: Path, handler: Callable[[Received], Iterable[Action]], **run: Any) -> tuple[Session, JobFolder]:
    """A streaming run of ten rows."""
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=10, stream=True, **{"attempts": 2, **run})
        return run_here(folder), folder


BROKEN: dict[str, tuple[Sequence[Action], str]] = {
    "end without a finish": ([sse(*TEXT, done=False)], "truncated_stream"),
    "[DONE] without a finish": ([sse(*TEXT)], "truncated_stream"),
    "error, then [DONE]": ([sse(*TEXT, INNER)], "overloaded"),
    "reset in mid-answer": ([stream_head(), event(TEXT[1]), Sleep(0.05), RESET], "reset"),
    "silence in mid-answer": ([stream_head(), event(TEXT[1]), HANG], "timeout_idle"),
    "pings only": ([stream_head(), *(part for _ in range(40) for part in (piece(b": ping\n\n"), Sleep(0.05))), HANG], "timeout_first_byte"),
    "junk in mid-answer": ([stream_head(), event(TEXT[1]), piece(b"data: {oops\n\n"), STREAM_END], "not_json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_no_answer(tmp_path: Path, name: str) -> None:
    """Faults 20, 21, 24, promise 5: once, it is retried and counted as a possible double; always, the row fails by name."""
    actions, code = BROKEN[name]
    tries = Tries()

    def handler(received: Received) -> Iterable[Action]:
        number, attempt = row_number(received), tries.of(received)
        return actions if number == 6 or (number == 3 and attempt == 1) else answer(received)

    # Only those that are silent meet a deadline, which spares what a busy machine may need for an answer.
    session, folder = streamed(
        tmp_path, handler, **({f"{code.removeprefix('timeout_')}_timeout_s": 1.0} if code.startswith("timeout") else {})
    )
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (1, 9, 2)
    # An answered row may be sent once more at the end, to show that the endpoint serves others: that one is billed twice.
    references = session.tally.requests - 12
    assert references in (0, 1)
    assert session.tally.doubled == 2
    (failed,) = folder.errors()
    assert (failed["id"], failed["error"]["code"]) == ("r6", code)
    assert {line["completion"] for line in folder.completions()} == {f"answer to question {n}" for n in range(10) if n != 6}


WHOLE: dict[str, Sequence[Action]] = {
    "finish, then a reset": [stream_head(), *map(event, [*TEXT, delta("stop"), usage_chunk()]), Sleep(0.05), RESET],
    "[DONE], and the socket stays open": [stream_head(), *map(event, [*TEXT, delta("stop"), usage_chunk(), "[DONE]"]), HANG],
    "no [DONE] at all": [sse(*TEXT, delta("stop"), usage_chunk(), done=False)],
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_finished_stream_is_an_answer_however_it_closes(tmp_path: Path, name: str) -> None:
    """Faults 22, 23: with its finish_reason and usage the answer is whole: no retry, and the run does not wait for the close."""
    session, folder = streamed(tmp_path, lambda _: WHOLE[name], idle_timeout_s=3600)
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (0, 10, 0)
    assert {line["completion"] for line in folder.completions()} == {ANSWER}
    assert session.tally.completion_tokens == 30


def test_a_stream_cut_anywhere_gives_the_same_answer(tmp_path: Path) -> None:
    """Fault 25: the bytes of a stream arrive in pieces of 1 to 10 bytes, lines end in LF, CRLF or CR: the same answer in every row."""

    def handler(received: Received) -> Iterable[Action]:
        number = row_number(received)
        chunks = [*TEXT, delta("stop"), usage_chunk()]
        text = sse(*chunks).split(b"\r\n\r\n", 1)[1]
        events = b"".join(part for part in text.split(b"\r\n") if part.startswith(b"data"))
        events = events.replace(b"\n", (b"\n", b"\r\n", b"\r")[number % 3])
        size = number + 1
        for start in range(0, len(events), size):
            yield (b"" if start else stream_head()) + piece(events[start : start + size])
            if start % (40 * size) == 0:
                yield Sleep(0.001)
        yield STREAM_END

    session, folder = streamed(tmp_path, handler)
    assert (session.exit_code, session.tally.ok, session.tally.retries) == (0, 10, 0)
    assert {line["completion"] for line in folder.completions()} == {ANSWER}
    assert len({record.response for record in whole_records(folder.directory)}) == 1


def call(index: int | None, **function: str) -> dict[str, Any]:
    """One delta of a tool call."""
    named = {"id": f"call_{function['name']}", "type": "function"} if "name" in function else {}
    return delta(tool_calls=[({} if index is None else {"index": index}) | named | {"function": function}])


@pytest.mark.parametrize("indexed", [True, False])
def test_tool_calls_are_assembled(tmp_path: Path, indexed: bool) -> None:
    """Fault 26: deltas of two calls, interleaved by index or one after the other without: both calls whole, in every row."""
    if indexed:
        parts = [
            call(0, name="add", arguments=""),
            call(1, name="mul", arguments="{"),
            call(0, arguments='{"a":1}'),
            call(1, arguments="}"),
        ]
    else:
        parts = [call(None, name="add", arguments='{"a"'), call(None, arguments=":1}"), call(None, name="mul", arguments="{}")]
    session, folder = streamed(tmp_path, lambda _: [sse(*parts, delta("tool_calls"))])
    assert session.exit_code == 0
    for line in folder.completions():
        calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in line["tool_calls"]]
        assert calls == [("call_add", "add", '{"a":1}'), ("call_mul", "mul", "{}")]
        assert line["finish_reason"] == "tool_calls"
