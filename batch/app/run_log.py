"""The log of a run: `run.log.jsonl` in its directory, a JSON line an event with its time, rotated at 8 MiB."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import orjson

from batch.events import Event, LimitsSet, Notice, Progressed, RunEnded, RunStarted, UnexpectedError
from batch.policy.redaction import SECRETS
from batch.policy.terminal import without_url_secrets
from batch.storage import open_regular
from batch.tally import sum_tallies

NAME = "run.log.jsonl"
MOST_BYTES, KEPT = 8 << 20, 3
LogLevel = Literal["debug", "info", "warning", "off"]
# Seconds between two lines about the progress.
INTERVAL_S = {"debug": 1.0, "info": 30.0}


def event_document(event: Event) -> dict[str, Any]:
    """Return an event as JSON values: its name, its time in UTC, and what it says."""
    document: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    match event:
        case RunStarted():
            document |= {"event": "started", "run": event.name, "directory": without_url_secrets(event.directory)}
        case LimitsSet():
            document |= {"event": "limits", **asdict(event)}
        case Progressed():
            document |= {"event": "progress", "counts": _counts(event)}
        case RunEnded():
            reason = None if event.reason is None else SECRETS.redact(without_url_secrets(event.reason))
            document |= {"event": "ended", "reason": reason, "counts": _counts(event)}
        case Notice():
            document |= {"event": "notice", "text": SECRETS.redact(without_url_secrets(event.text))}
        case UnexpectedError():
            document |= {"event": "bug", "where": event.where, "traceback": event.traceback}
    return document


def _counts(event: Progressed | RunEnded) -> dict[str, Any]:
    counts = asdict(sum_tallies(event.tallies))
    # Histograms are for the metrics; their keys are no text.
    del counts["attempts"]
    return counts


class RunLog:
    """Observes a run and writes its log. A disk that refuses a line is no reason to end a run."""

    def __init__(self, folder: Path, level: LogLevel = "info") -> None:
        self._path = folder / NAME
        self._level = level
        self._due = 0.0

    def notify(self, event: Event) -> None:
        """Write a line for the event, where the level wants one."""
        if self._level == "off" or (self._level == "warning" and isinstance(event, Progressed)):
            return
        if isinstance(event, Progressed):
            if monotonic() < self._due:
                return
            self._due = monotonic() + INTERVAL_S[self._level]
        with suppress(OSError):
            self._rotate()
            with open(self._path, "ab", opener=open_regular) as file:
                file.write(orjson.dumps(event_document(event), option=orjson.OPT_APPEND_NEWLINE, default=str))

    def _rotate(self) -> None:
        if not self._path.exists() or self._path.stat().st_size < MOST_BYTES:
            return
        for number in range(KEPT, 0, -1):
            former = self._path if number == 1 else self._path.with_name(f"{NAME}.{number - 1}")
            if former.exists():
                former.replace(self._path.with_name(f"{NAME}.{number}"))
