"""The failed attempts of a run, kept beside its journal: what `promptmill show` and `tail` tell beyond the outcomes.

They are no truth: bounded in bytes, never synced, and a run goes its way without them. One line is a JSON object without line breaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import orjson

from batch.journal.disk import storage_errors
from batch.journal.rolling import read_lines

SUFFIX = ".attempts.jsonl"
# The most of a record's texts, in characters.
_LONGEST_ANSWER = 8000
_LONGEST_MESSAGE = 2000
_LONGEST_NAME = 500
_CUT = "…"

Sequel = Literal["retried", "failed", "set aside", "test"]
"""What followed: another attempt, the row's failure, a wait for evidence of what is to blame, or nothing: it was a test of the endpoint."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that brought no answer, or one that was refused. Texts are free of secrets.

    `time` is when it ended, in seconds since the epoch; `number` counts the task's attempts from 1. `wait_s` is the wait until the next
    attempt, `asked_wait_s` what the endpoint asked for. `answer` is the reply's text, or the beginning of a body that cannot be read.
    """

    time: float
    variant: str
    row: int
    id: str
    repeat: int
    number: int
    endpoint: str
    status: int | None
    kind: str
    code: str
    message: str
    took_s: float
    then: Sequel
    wait_s: float | None = None
    asked_wait_s: float | None = None
    request_id: str | None = None
    answer: str | None = None

    def bounded(self) -> FailedAttempt:
        """Return it with its texts cut to what is kept."""
        longest = {"answer": _LONGEST_ANSWER, "message": _LONGEST_MESSAGE}
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return FailedAttempt(**{name: _cut(value, longest.get(name, _LONGEST_NAME)) for name, value in values.items()})


def encode_attempt(attempt: FailedAttempt) -> bytes:
    """Encode an attempt as a line, without its newline."""
    return json_line(asdict(attempt))


def json_line(document: Mapping[str, Any]) -> bytes:
    """Encode a document as a line, without its newline."""
    try:
        return orjson.dumps(document)
    except TypeError:
        # Lone surrogates, and integers beyond 64 bits.
        return json.dumps(document, separators=(",", ":")).encode()


def decode_attempt(line: bytes) -> FailedAttempt | None:
    """Decode a line; None for one that was not written whole, or by a version that this one does not understand."""
    with suppress(ValueError, TypeError, KeyError):
        document: dict[str, Any] = json.loads(line)
        return FailedAttempt(**{each.name: document[each.name] for each in fields(FailedAttempt)})
    return None


def read_attempts(folder: Path, row: int | None = None) -> list[FailedAttempt]:
    """Read the attempts that are kept, of one row or of all, in the order of time. Raises StorageError."""
    # Most lines are of other rows, and cost no more than a search.
    sought = None if row is None else f'"row":{row},'.encode()
    with storage_errors(folder):
        paths = sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob("*.attempts.1.jsonl")]) if folder.is_dir() else []
    lines = (line for path in paths for line in read_lines(path) if sought is None or sought in line)
    return sorted(_decoded(lines), key=lambda attempt: attempt.time)


def _decoded(lines: Iterable[bytes]) -> Iterator[FailedAttempt]:
    return filter(None, map(decode_attempt, lines))


def _cut(value: Any, longest: int) -> Any:
    return value[: longest - 1] + _CUT if isinstance(value, str) and len(value) > longest else value
