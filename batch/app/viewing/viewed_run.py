"""One run as the live page shows it: counts, timeline, and its newest outcomes and failures. Brought up to date a little at each look.

Memory: 9 bytes a record, and the newest 500 places. Texts are read from the journal when they are shown.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from batch.errors import PromptmillError
from batch.results.following import JournalLine, Place, read_record
from batch.results.live import read_account, read_live_run
from batch.results.readable import answer_text, failure_text, first_token_seconds, seconds
from batch.results.run_timeline import RunTimeline
from batch.results.unique import newest_counts
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_existing
from batch.rundir.running import is_running

FORMAT = 1
KEPT = 500
SENT_AT_ONCE = 100
# What one look may read of a journal that is new to the page: the next look continues.
LOOK_S = 0.4
_LONGEST_PREVIEW = 240


@dataclass(frozen=True, slots=True)
class Newest:
    """A record that is among the newest: `number` counts all that were read, from 1."""

    number: int
    variant: str
    place: Place


class ViewedRun:
    """A run that the page shows. Its methods may be called from several threads."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._lock = Lock()
        self._reading = RunTimeline(directory, self._seen)
        self._tasks: dict[str, tuple[array[int], array[int]]] = {}
        self._rows: deque[Newest] = deque(maxlen=KEPT)
        self._failures: deque[Newest] = deque(maxlen=KEPT)
        self._number = 0
        self._counted: tuple[int, dict[str, tuple[int, int]]] = (-1, {})

    def look(self, after: int) -> dict[str, Any]:
        """Read what is new, for a while, and describe the run; of its outcomes those whose number is above `after`. Raises StorageError."""
        with self._lock:
            deadline = time.monotonic() + LOOK_S
            is_whole = self._reading.update(lambda: time.monotonic() > deadline)
            return self._document(after, is_whole=is_whole)

    def _document(self, after: int, *, is_whole: bool) -> dict[str, Any]:
        directory = self._directory
        manifest = directory.manifest
        counts, live = self._counts(is_whole=is_whole), read_live_run(directory)
        return {
            "format": FORMAT,
            "name": manifest.name or directory.path.name,
            "place": str(directory.place),
            "created": manifest.created,
            "running": is_running(directory),
            "whole": is_whole,
            "read": self._number,
            "variants": [
                {"name": name, "total": manifest.total, "ok": counts.get(name, (0, 0))[0], "failed": counts.get(name, (0, 0))[1]}
                for name in (*manifest.variants, *(each for each in counts if each not in manifest.variants))
            ],
            "live": None if live is None else asdict(live),
            "account": read_account(directory),
            "now": time.time(),
            "timeline": self._reading.timeline.document(),
            "rows": self._lines(self._rows, after),
            "failures": self._lines(self._failures, after),
        }

    def _seen(self, line: JournalLine, fields: Mapping[str, Any]) -> None:
        self._number += 1
        newest = Newest(self._number, line.variant, line.place)
        self._rows.append(newest)
        is_ok = fields["status"] == "ok"
        if not is_ok:
            self._failures.append(newest)
        tasks, oks = self._tasks.setdefault(line.variant, (array("Q"), array("B")))
        tasks.append(int(fields["task"], 16))
        oks.append(is_ok)

    def _counts(self, *, is_whole: bool) -> dict[str, tuple[int, int]]:
        if not is_whole:
            # To find the newest record of each task takes longer than to count them, and is done once all are read.
            return {name: ((ok := sum(oks)), len(oks) - ok) for name, (_, oks) in self._tasks.items()}
        if self._counted[0] != self._number:
            self._counted = self._number, {name: newest_counts(tasks, oks) for name, (tasks, oks) in self._tasks.items()}
        return self._counted[1]

    def _lines(self, found: Iterable[Newest], after: int) -> list[dict[str, Any]]:
        wanted = [each for each in found if each.number > after][-SENT_AT_ONCE:]
        return [line for each in wanted if (line := _line(each)) is not None]


def _line(newest: Newest) -> dict[str, Any] | None:
    try:
        outcome = read_record(newest.place)
    except PromptmillError:
        return None
    if outcome is None:
        return None
    text = " ".join((answer_text(outcome) if outcome.ok else failure_text(outcome))[: 4 * _LONGEST_PREVIEW].split())
    usage = outcome.usage or {}
    return {
        "number": newest.number,
        "variant": newest.variant,
        "row": outcome.ordinal,
        "id": outcome.id,
        "repeat": outcome.repeat,
        "ok": outcome.ok,
        "done": outcome.done,
        "latency_s": seconds(outcome),
        "first_token_s": first_token_seconds(outcome),
        "attempts": outcome.attempts,
        "tokens": usage.get("completion_tokens"),
        "cost_usd": outcome.cost_usd,
        "text": text[:_LONGEST_PREVIEW],
    }


def open_viewed(path: Path | str) -> ViewedRun:
    """Open a run for the page. Raises RunDirectoryError, StorageError."""
    return ViewedRun(open_existing(path))
