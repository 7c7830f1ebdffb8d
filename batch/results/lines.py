"""The lines of completions and errors. The names and meanings of their columns are part of the output format (docs/python.md)."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import orjson

from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import SCORING, Api, BadRow, Outcome, Reply
from batch.results.join import Result
from batch.settings import Job
from batch.writers import columns


def completion_columns(job: Job) -> tuple[str, ...]:
    """Return the columns of completions: `embedding` only where a variant may request embeddings, `scores` where one requests scores."""
    embeds = any(v.prompt.stored or v.prompt.api == "embeddings" for v in job.variants)
    return columns.completion_columns(embeddings=embeds, scores=any(v.prompt.api in SCORING for v in job.variants))


def completion_line(result: Result, outcome: Outcome, carried: Sequence[tuple[str, str]], names: Container[str] = ()) -> dict[str, Any]:
    """Build the line of an answer; times are in seconds, rounded to microseconds.

    A reply with several answers (n, or a list of texts to embed) gives a list of texts, or of vectors; the other columns are of the first.
    `names` are those of the columns, where there are more than chats have.
    `carried` has the input column and the output name of each carried-over column; a row that lacks the column gets None.
    """
    replies = _answers(outcome, outcome.api or result.variant.prompt.api)
    reply = replies[0]
    several = len(replies) > 1
    line = {
        "id": result.row.id,
        "row": result.row.ordinal,
        "variant": result.variant.name,
        "repeat": result.repeat,
        "completion": [each.text for each in replies] if several and reply.embedding is None else reply.text,
        "tool_calls": reply.tool_calls,
        "reasoning": reply.reasoning,
    }
    if columns.VECTORS in names:
        line["embedding"] = [each.embedding for each in replies] if several and reply.embedding is not None else reply.embedding
    if columns.SCORES in names:
        line[columns.SCORES] = reply.scores
    line |= {
        "finish_reason": outcome.finish_reason,
        "usage": outcome.usage,
        "attempts": outcome.attempts,
        "latency_s": _seconds(outcome.sent, outcome.done),
        "first_token_s": _seconds(outcome.sent, outcome.first_token),
        "cost_usd": outcome.cost_usd,
    }
    return _with_columns(line, result, carried)


def _answers(outcome: Outcome, api: Api) -> list[Reply]:
    """Return the answers of a completion."""
    if outcome.response is None:
        return [Reply()]
    if outcome.answer is not None:
        # The recorder has found the text: the reply needs no second reading.
        start, length = outcome.answer
        return [Reply(text=orjson.loads(outcome.response[start : start + length]))]
    return _replies(api, outcome.response)


def _replies(api: Api, response: bytes) -> list[Reply]:
    """Read each answer of a reply; one that today's rules do not read is given as its text."""
    try:
        # Each choice and each vector has its index: with one of them there is nothing to take apart.
        parts = _parts(api, response) if api not in SCORING and response.count(b'"index"') > 1 else []
    except ValueError:
        parts = []
    try:
        return parts or [read_reply(api, response)]
    except ReplyFormatError:
        # It was accepted when it came: one odd answer must not keep all others from being written.
        return [Reply(text=response.decode(errors="replace"))]


def _parts(api: Api, response: bytes) -> list[Reply]:
    """Read the answers of a reply one by one, none where it has only one. Raises ValueError."""
    document = orjson.loads(response)
    for member in ("choices", "data"):
        parts = document.get(member)
        if isinstance(parts, list) and len(parts) > 1 and all(isinstance(part, dict) for part in parts):
            parts.sort(key=lambda part: part["index"] if type(part.get("index")) is int else 0)
            return [read_reply(api, orjson.dumps({**document, member: [{**part, "index": 0}]})) for part in parts]
    return []


def error_line(result: Result, outcome: Outcome, carried: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Build the line of a failed task."""
    error = outcome.error
    line = {
        "id": result.row.id,
        "row": result.row.ordinal,
        "variant": result.variant.name,
        "repeat": result.repeat,
        "error": error and {"kind": error.kind.value, "code": error.code, "message": error.message, "http_status": error.http_status},
        "attempts": outcome.attempts,
    }
    return _with_columns(line, result, carried)


def _with_columns(line: dict[str, Any], result: Result, carried: Sequence[tuple[str, str]]) -> dict[str, Any]:
    row = result.row
    for source, name in carried:
        line[name] = None if isinstance(row, BadRow) else row.columns.get(source)
    return line


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 6)
