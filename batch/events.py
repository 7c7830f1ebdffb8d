"""The events of a run. Displays implement `Observer`; the engine does not depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from batch.tally import Tally


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run is set up and about to send; `tallies` are by variant name and change in place while it goes."""

    name: str
    directory: str
    tallies: Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class LimitsSet:
    """The limits that the session keeps to from now on: concurrency ("auto" or a number), rates a minute, and US dollars; None: no limit.

    Sent at the start, and when a user has changed them.
    """

    concurrency: int | str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_cost_usd: float | None


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """The progress of a run with several workers: workers that take part, and shards, counted once for each queue."""

    workers: int
    shards_done: int
    shards: int

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers:,} workers"
        return f"{workers}, {self.shards_done:,} of {self.shards:,} shards"


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """The batches at their providers: counts by the providers' words for their states, and of their requests, as the providers count them.

    `waiting` are batches that are not submitted yet, `oldest_s` is the time since the oldest open one was created, in seconds.
    """

    by_status: Mapping[str, int]
    waiting: int
    completed: int
    requests: int
    oldest_s: float | None

    def __str__(self) -> str:
        words = [f"{count:,} {word}" for word, count in self.by_status.items()]
        words += [f"{self.waiting:,} waiting"] if self.waiting else []
        if not words:
            return "no open batches"
        age = "" if self.oldest_s is None else f", the oldest since {self.oldest_s / 60:,.0f} min"
        return f"batches: {', '.join(words)}; {self.completed:,} of {self.requests:,} requests done there{age}"


@dataclass(frozen=True, slots=True)
class Progressed:
    """Time to redraw; the counts are in `tallies`. Sent a few times a second, never per row."""

    tallies: Mapping[str, Tally]
    sharing: WorkerProgress | BatchProgress | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for people (a pause, an outage, a repaired journal)."""

    text: str


@dataclass(frozen=True, slots=True)
class VariantStopped(Notice):
    """A variant is not sent any more, because its model is refused; the others of its endpoint are. `reason` is the endpoint's."""

    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnexpectedError:
    """A bug of promptmill, met while one attempt was handled.

    `where` names the step. `traceback` has classes and places in the code only: no text of the job, its rows or replies.
    """

    where: str
    traceback: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more is sent; `reason` is None when all rows have their outcome."""

    tallies: Mapping[str, Tally]
    reason: str | None


Event = RunStarted | LimitsSet | Progressed | Notice | UnexpectedError | RunEnded


class Observer(Protocol):
    """Receives the events of a run; must not block and must not raise."""

    def notify(self, event: Event) -> None:
        """Receive `event`."""
