"""Reads what Batch APIs answer: batch objects of all families, and the lines of their results.

Sources: openai-python `types/batch.py`; Together's upper-case statuses, ISO times and {"job": …}; Mistral's BatchJobOut; Anthropic's
MessageBatch; OpenRouter's results in the batch itself. An absent file id is null or "".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from batch.providers.replies import read_error
from batch.records import ReplyError

BatchState = Literal["open", "completed", "failed", "expired", "cancelled"]

_WORDS: Mapping[BatchState, str] = {
    "completed": "completed complete succeeded success ended finished done",
    "failed": "failed failure error rejected",
    "expired": "expired timeout_exceeded timed_out",
    "cancelled": "cancelled canceled",
    "open": (
        "validating in_progress finalizing cancelling canceling queued running pending processing created cancellation_requested"
        " submitted validated starting started"
    ),
}
_STATES: Mapping[str, BatchState] = {word: state for state, words in _WORDS.items() for word in words.split()}
OVER_LIMIT = "token_limit_exceeded"
"""The code of a batch, or of a refused call, beyond the tokens that may be enqueued at once."""
_WRAPPERS = ("job", "batch", "data")
_EXPIRED = frozenset({"batch_expired", "expired", "batch_cancelled", "batch_canceled", "cancelled", "canceled"})


@dataclass(frozen=True, slots=True)
class BatchProblem:
    """Why a batch failed; `line` (from 1) is the line of its file that is at fault, where one is named."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class BatchObject:
    """A batch as its provider describes it.

    `word` is the provider's own word for its status. Counts are None where it gives none. Times are seconds since the epoch. `problems` are
    why it failed. `results` are lines within the object itself.
    """

    id: str
    state: BatchState
    word: str
    files: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    created_at: float | None = None
    ended_at: float | None = None
    problems: tuple[BatchProblem, ...] = ()
    results: tuple[Any, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the provider still works on it."""
        return self.state == "open"

    @property
    def is_over_limit(self) -> bool:
        """Whether it failed because too many tokens were enqueued."""
        return self.state == "failed" and any(problem.code == OVER_LIMIT for problem in self.problems)


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of results. `body` is the reply's parsed body; `undone`: the request was not carried out (expired, cancelled)."""

    custom_id: str
    status: int | None = None
    body: Any = None
    error: ReplyError | None = None
    undone: bool = False


def read_batch(document: Any) -> BatchObject | None:
    """Read a batch object; None for what is none."""
    batch = _unwrapped(document)
    if batch is None:
        return None
    word = str(batch.get("status") or batch.get("processing_status") or batch.get("state") or "")
    state = _STATES.get(word.lower().removeprefix("job_state_"), "open")
    total, completed, failed = _counts(batch)
    ended = [batch.get(name) for name in ("completed_at", "failed_at", "expired_at", "cancelled_at", "ended_at")]
    results = batch.get("results") or batch.get("outputs")
    return BatchObject(
        id=str(batch["id"]),
        state=state,
        word=word,
        files=_texts(batch, "output_file_id", "output_file", "error_file_id", "error_file"),
        inputs=(*_texts(batch, "input_file_id", "input_file"), *_listed(batch.get("input_files"))),
        metadata=batch.get("metadata") if isinstance(batch.get("metadata"), dict) else None,
        total=total,
        completed=completed,
        failed=failed,
        created_at=_moment(batch.get("created_at")),
        ended_at=next((moment for value in ended if (moment := _moment(value)) is not None), None),
        problems=_problems(batch),
        results=tuple(results) if isinstance(results, list) else (),
    )


def read_batches(document: Any) -> tuple[list[BatchObject], str | None]:
    """Read a list of batches: those on this page, and the id to continue after, None at the end."""
    items = document if isinstance(document, list) else None
    if isinstance(document, dict):
        items = next((document[name] for name in ("data", "batches", "jobs") if isinstance(document.get(name), list)), None)
    found = [batch for item in items or () if (batch := read_batch(item)) is not None]
    more = isinstance(document, dict) and bool(document.get("has_more"))
    return found, found[-1].id if more and found else None


def read_file_id(document: Any) -> str | None:
    """Read the id of an uploaded file."""
    file = _unwrapped(document)
    return None if file is None else str(file["id"])


def read_files(document: Any) -> list[tuple[str, str]]:
    """Read a list of files: the id and the name of each."""
    items = document.get("data") if isinstance(document, dict) else document
    named = [item for item in items if isinstance(item, dict) and item.get("id")] if isinstance(items, list) else []
    return [(str(item["id"]), str(item.get("filename") or item.get("name") or "")) for item in named]


def read_result(line: Any) -> ResultLine | None:
    """Read one line of results, parsed; None for what has no custom_id."""
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str | int):
        return None
    custom_id = str(line["custom_id"])
    if isinstance(line.get("result"), dict) and "type" in line["result"]:
        return _message_result(custom_id, line["result"])
    response, error = line.get("response"), line.get("error")
    status, body = None, None
    if isinstance(response, dict):
        is_wrapped = "status_code" in response or "body" in response
        status = response.get("status_code", 200) if is_wrapped else 200
        body = _parsed(response.get("body")) if is_wrapped else response
    if not isinstance(status, int) or isinstance(status, bool):
        status = None
    if error and not body:
        found = read_error({"error": error}) or ReplyError(str(error)[:500])
        return ResultLine(custom_id, status, None, found, _is_undone(error))
    if body is None or body == "":
        return ResultLine(custom_id, status, None, ReplyError("the line has neither an answer nor an error"))
    return ResultLine(custom_id, status or 200, body)


def _message_result(custom_id: str, result: Mapping[str, Any]) -> ResultLine:
    """Read a line of Anthropic's: {type: succeeded, message}, {type: errored, error}, {type: canceled | expired}."""
    kind = result.get("type")
    if kind == "succeeded":
        return ResultLine(custom_id, 200, result.get("message"))
    if kind in _EXPIRED:
        return ResultLine(custom_id, error=ReplyError(f"the batch ended before this request: {kind}", str(kind)), undone=True)
    found = read_error(result.get("error")) or read_error({"error": result.get("error")}) or ReplyError(f"the request {kind}")
    return ResultLine(custom_id, None, None, found)


def _is_undone(error: Any) -> bool:
    return isinstance(error, dict) and str(error.get("code") or error.get("type") or "").lower() in _EXPIRED


def _parsed(body: Any) -> Any:
    """Return a body as an object: OGX writes it as JSON within a string."""
    if not isinstance(body, str):
        return body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)
        except ValueError:
            return body


def _unwrapped(document: Any) -> dict[str, Any] | None:
    if not isinstance(document, dict):
        return None
    if document.get("id"):
        return document
    inner = next((document[name] for name in _WRAPPERS if isinstance(document.get(name), dict)), None)
    return inner if inner is not None and inner.get("id") else None


def _counts(batch: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    counts = batch.get("request_counts")
    if isinstance(counts, dict) and "processing" in counts:
        # Anthropic's have no total.
        kinds = [_number(counts.get(name)) or 0 for name in ("processing", "succeeded", "errored", "canceled", "expired")]
        return sum(kinds), kinds[1] + kinds[2], kinds[2]
    if not isinstance(counts, dict):
        counts = {name: batch.get(f"{name}_requests") for name in ("total", "completed", "failed")}
    return _number(counts.get("total")), _number(counts.get("completed")), _number(counts.get("failed"))


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15 else None


def _problems(batch: Mapping[str, Any]) -> tuple[BatchProblem, ...]:
    errors = batch.get("errors")
    items = errors.get("data") if isinstance(errors, dict) else errors
    listed = items if isinstance(items, list) else [items] if items else []
    return tuple(_problem(item) for item in listed or ([batch["error"]] if batch.get("error") else []))


def _problem(item: Any) -> BatchProblem:
    if not isinstance(item, dict):
        return BatchProblem("", str(item)[:500])
    line = item.get("line")
    is_line = isinstance(line, int) and not isinstance(line, bool) and line > 0
    code = str(item.get("code") or "")
    return BatchProblem(code, str(item.get("message") or code or item)[:500], line if is_line else None)


def _texts(batch: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    # A file may stand there itself, with its id.
    values = [value.get("id") if isinstance(value := batch.get(name), dict) else value for name in names]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value.strip()))


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _moment(value: Any) -> float | None:
    """Read a time: seconds or milliseconds since the epoch, or ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return value / 1000 if value > 1e11 else float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
