"""The lines of completions and errors. The names and meanings of their columns are part of the output format (docs/python.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batch.providers.replies import read_reply
from batch.records import BadRow, Outcome, Reply
from batch.results.join import Result
from batch.settings import Job

_TASK = ("id", "row", "variant", "repeat")
_ANSWER = ("completion", "tool_calls", "reasoning")
_RECORD = ("finish_reason", "usage", "attempts", "latency_s", "first_token_s", "cost_usd")
ERROR_COLUMNS = (*_TASK, "error", "attempts")
OWN_COLUMNS = frozenset((*_TASK, *_ANSWER, "embedding", *_RECORD, *ERROR_COLUMNS))
"""The names that carried-over columns must not have."""


def completion_columns(job: Job) -> tuple[str, ...]:
    """The columns of completions: `embedding` only where a variant may ask for embeddings."""
    embedding = ("embedding",) if any(v.prompt.stored or v.prompt.api == "embeddings" for v in job.variants) else ()
    return (*_TASK, *_ANSWER, *embedding, *_RECORD)


def completion_line(result: Result, outcome: Outcome, columns: Sequence[str], *, embedding: bool = False) -> dict[str, Any]:
    """The line of an answer; `columns` are carried over, None where the row lacks one. Times are in seconds, rounded to microseconds."""
    api = outcome.api or result.variant.prompt.api
    reply = Reply() if outcome.response is None else read_reply(api, outcome.response)
    line = {
        "id": result.row.id,
        "row": result.row.ordinal,
        "variant": result.variant.name,
        "repeat": result.repeat,
        "completion": reply.text,
        "tool_calls": reply.tool_calls,
        "reasoning": reply.reasoning,
    }
    if embedding:
        line["embedding"] = reply.embedding
    line |= {
        "finish_reason": outcome.finish_reason,
        "usage": outcome.usage,
        "attempts": outcome.attempts,
        "latency_s": _seconds(outcome.sent, outcome.done),
        "first_token_s": _seconds(outcome.sent, outcome.first_token),
        "cost_usd": outcome.cost_usd,
    }
    return _with_columns(line, result, columns)


def error_line(result: Result, outcome: Outcome, columns: Sequence[str]) -> dict[str, Any]:
    """The line of a failed task."""
    error = outcome.error
    line = {
        "id": result.row.id,
        "row": result.row.ordinal,
        "variant": result.variant.name,
        "repeat": result.repeat,
        "error": error and {"kind": error.kind.value, "code": error.code, "message": error.message, "http_status": error.http_status},
        "attempts": outcome.attempts,
    }
    return _with_columns(line, result, columns)


def _with_columns(line: dict[str, Any], result: Result, columns: Sequence[str]) -> dict[str, Any]:
    row = result.row
    for name in columns:
        line[name] = None if isinstance(row, BadRow) else row.columns.get(name)
    return line


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 6)
