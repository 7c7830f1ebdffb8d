"""Models of endpoints, without I/O: how long an answer takes when so many are in flight, and what is refused.

All requests that are served share one clock of decoding steps (as in vLLM's continuous batching): a step takes `step(served)` seconds,
and an answer is complete after as many steps as it has tokens. What has no slot is refused, or waits in a queue without end.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """An endpoint: `slots(t)` are served at once, `per_minute` let in, `burst` of them at once; a token takes `step(served)` seconds.

    With `counts_tokens` the rate and the burst are of tokens. With `window_s` the rate is counted in fixed windows, all of it at once.
    """

    name: str
    slots: Callable[[float], float]
    queues: bool = False
    step: Callable[[int], float] = lambda served: 0.02
    per_minute: float | None = None
    burst: float = 60.0
    tells_wait: bool = False
    tells_left: bool = False
    counts_tokens: bool = False
    window_s: float | None = None
    sigma: float = 0.3
    median_tokens: float = 100.0
    duration: float = 1200.0
    best_in_flight: int | None = None


class Server:
    """A model that runs: `admit` and `next_done` are all there is to it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.served: list[tuple[float, int]] = []
        self.waiting: deque[tuple[int, float]] = deque()
        self.refused = self.admitted = 0
        self._steps = 0.0
        self._at = 0.0
        self.bucket = model.burst

    @property
    def in_flight(self) -> int:
        return len(self.served) + len(self.waiting)

    def admit(self, request: int, tokens: float, now: float) -> bool:
        """Whether a request is let in."""
        self.advance(now)
        taken = tokens if self.model.counts_tokens else 1.0
        if self.model.per_minute is not None and self.bucket < taken:
            self.refused += 1
            return False
        if len(self.served) >= int(self.model.slots(now)) and not self.model.queues:
            self.refused += 1
            return False
        self.bucket -= taken
        self.admitted += 1
        self.waiting.append((request, tokens))
        self._fill(now)
        return True

    def next_done(self, now: float) -> float:
        """When the next answer is complete, if nothing else happens."""
        if not self.served:
            return math.inf
        return now + max(0.0, self.served[0][0] - self._steps) * self.model.step(len(self.served))

    def finish(self, now: float) -> int:
        """The request whose answer is complete now."""
        self.advance(now)
        request = heapq.heappop(self.served)[1]
        self._fill(now)
        return request

    def advance(self, now: float) -> None:
        """Let time pass; nothing is completed in between."""
        elapsed = now - self._at
        if self.served:
            self._steps += elapsed / self.model.step(len(self.served))
        if self.model.window_s is not None and self.model.per_minute is not None:
            if int(now / self.model.window_s) > int(self._at / self.model.window_s):
                self.bucket = self.model.per_minute / 60 * self.model.window_s
        elif self.model.per_minute is not None:
            self.bucket = min(self.model.burst, self.bucket + elapsed * self.model.per_minute / 60)
        self._at = now
        self._fill(now)

    def left(self) -> dict[str, str]:
        """The headers that say what is left of the rate, as OpenAI sends them."""
        if not self.model.tells_left or self.model.per_minute is None:
            return {}
        seconds = (self.model.burst - self.bucket) * 60 / self.model.per_minute
        return {"x-ratelimit-remaining-requests": str(int(self.bucket)), "x-ratelimit-reset-requests": f"{int(seconds * 1000)}ms"}

    def _fill(self, now: float) -> None:
        while self.waiting and len(self.served) < int(self.model.slots(now)):
            request, tokens = self.waiting.popleft()
            heapq.heappush(self.served, (self._steps + tokens, request))


def _grows(t: float) -> float:
    return min(128, 8 * 2 ** (t // 30))


def _neighbour(t: float) -> float:
    return 100 if int(t // 40) % 2 else 60


def _changes(t: float) -> float:
    return (80, 30, 120)[min(2, int(t // 400))]


def batching(served: int) -> float:
    """A decoding step of a batch: 20 ms, and 0.1 ms for each in it."""
    return 0.02 + 0.0001 * served


def quick(served: int) -> float:
    """A step of a model that answers in 50 ms."""
    return 0.0005


# Limits of a rate that no header tells, and of which a few requests in flight are the whole.
RATES = (
    Model("20 a second, says when", lambda t: 1e9, per_minute=1200, burst=20, tells_wait=True, step=quick, duration=300.0),
    Model("20 a second", lambda t: 1e9, per_minute=1200, burst=20, step=quick, duration=300.0),
    Model("20 a second, in windows", lambda t: 1e9, per_minute=1200, burst=20, window_s=1.0, step=quick, duration=300.0),
    Model("600 a minute, quick", lambda t: 1e9, per_minute=600, step=quick, duration=600.0),
    Model("600 a minute, in windows", lambda t: 1e9, per_minute=600, burst=600, window_s=60.0, step=quick, duration=900.0),
    Model("6,000 a minute, quick", lambda t: 1e9, per_minute=6000, burst=100, step=quick, duration=300.0),
    Model("60,000 tokens a minute", lambda t: 1e9, per_minute=60_000, burst=10_000, counts_tokens=True, step=quick, duration=600.0),
)
MODELS = (
    Model("refuses over 50", lambda t: 50),
    Model("refuses over 4", lambda t: 4),
    Model("refuses over 500", lambda t: 500),
    Model("600 requests a minute", lambda t: 1e9, per_minute=600),
    Model("600 a minute, says when", lambda t: 1e9, per_minute=600, tells_wait=True),
    Model("600 a minute, says what is left", lambda t: 1e9, per_minute=600, tells_left=True),
    Model("queues over 64", lambda t: 64, queues=True),
    Model("batches up to 256, then queues", lambda t: 256, queues=True, step=batching),
    Model("starts slowly, refuses", _grows),
    Model("starts slowly, queues", _grows, queues=True),
    Model("noisy neighbour, refuses", _neighbour),
    Model("noisy neighbour, queues", _neighbour, queues=True),
    Model("limit changes, refuses", _changes),
    Model("limit changes, queues", _changes, queues=True),
    Model("heavy-tailed answers, refuses over 50", lambda t: 50, sigma=1.2),
    Model("heavy-tailed answers, batches to 256", lambda t: 256, queues=True, step=batching, sigma=1.2),
)
