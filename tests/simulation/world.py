"""What all parts of a simulated world share: time, chance, the moment of the crash, and the trace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from batch.tally import Tally

# 2033-05-18; whole seconds, so that HTTP dates are exact.
EPOCH = 2_000_000_000.0

Crash = Literal["kill", "power"]


class BrokenPromiseError(AssertionError):
    """A promise of DESIGN section 11 did not hold; `promise` is its number and name."""

    def __init__(self, promise: str, text: str) -> None:
        self.promise = promise
        super().__init__(f"promise {promise}: {text}")


class CrashedError(BaseException):
    """The simulated process is dead. Not an Exception: nothing may catch it."""


def require(condition: object, promise: str, text: str) -> None:
    """Raise BrokenPromiseError unless `condition` holds."""
    if not condition:
        raise BrokenPromiseError(promise, text)


@dataclass(frozen=True, slots=True)
class LastWords:
    """What the process had reported when it died."""

    crash: Crash
    reported: Mapping[str, int]
    durable: Mapping[str, int]
    in_flight: int


@dataclass
class World:
    """One machine with one endpoint provider. `chance` decides everything that is left to chance."""

    chance: random.Random
    trace: Callable[[str], None] | None = None
    now: float = 1000.0
    loop: asyncio.AbstractEventLoop | None = None
    main: asyncio.Task[Any] | None = None
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    crash_at: int | None = None
    crash: Crash = "kill"
    ticks: int = 0
    last_words: LastWords | None = None
    broken: BrokenPromiseError | None = None

    @property
    def dead(self) -> bool:
        """Whether the process has crashed: what it still does has no effect."""
        return self.last_words is not None

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self.now if self.loop is None else self.loop.time()

    def log(self, text: str) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace(f"{self.time():10.3f}  {text}")

    def begin(self, crash_at: int | None, crash: Crash) -> None:
        """A new process, which dies at its `crash_at`th event."""
        self.ticks, self.crash_at, self.crash = 0, crash_at, crash
        self.last_words, self.tallies, self.broken = None, {}, None

    def is_crash(self, what: str) -> bool:
        """An event took place; True when it is the process's last. The caller then does its part and calls `die`."""
        if self.dead:
            return False
        self.ticks += 1
        self.log(f"#{self.ticks} {what}")
        return self.ticks == self.crash_at

    def tick(self, what: str) -> None:
        """An event before or after which nothing is half done."""
        if self.is_crash(what):
            self.die()

    def die(self) -> None:
        """The process ends here. Outside the loop this raises; inside, the world turns deaf and the main task is cancelled."""
        self.log(f"CRASH ({self.crash})")
        self.last_words = LastWords(
            self.crash,
            {name: tally.ok + tally.failed for name, tally in self.tallies.items()},
            {name: tally.durable for name, tally in self.tallies.items()},
            sum(tally.in_flight for tally in self.tallies.values()),
        )
        if self.loop is None or self.main is None:
            raise CrashedError
        self.main.cancel()

    def accuse(self, error: BrokenPromiseError) -> None:
        """A promise was broken inside the run, where raising could be caught: kept, and raised when the process ends."""
        if self.broken is None and not self.dead:
            self.log(str(error))
            self.broken = error
