"""Adapts the number of requests in flight to the endpoint: `concurrency = "auto"`.

Two kinds of endpoints are distinguished by their answers. For one that refuses (429), the limit stays just below the number at which it
last refused. For one that queues instead, it stays where throughput no longer rises: throughput is, by Little's law, requests in
flight x tokens / time in flight, which heavy-tailed answer lengths do not disturb, since tokens and time rise together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

START = 8
STEP, LONGEST_STEP = 1.25, 1.6
# Elasticity of throughput in the number in flight: below the first a step down loses nothing, above the second a step up pays.
FLAT, PAYS = 0.1, 0.22
# The ramp is over when less than this share of the growth shows in the answers, and each of their tokens takes longer as well.
RAMP_GAIN, SLOWED = 0.3, 0.85
BELOW_CEILING, BACK_OFF = 0.95, 0.8
# Answers needed for each refusal before the limit grows: refusals stay under 2 %.
ANSWERS_PER_REFUSAL = 80
WINDOW_ANSWERS = 32
LONGEST_HOLD = 8
# Mean share of the limit in flight from which the limit is the bottleneck; a ramp doubles the limit meanwhile.
USED, RAMP_USED = 0.75, 0.5
# What a step up adds for each answer: what is sent before the first refusal of an episode comes back is refused too.
GENTLY = 0.25
TOLERATED_FAULTS = 0.05


class _Phase(Enum):
    RAMP = 0
    REST = 1
    UP = 2
    DOWN = 3


@dataclass(slots=True)
class _Window:
    """Observations since `start`: answers, their tokens, their seconds in flight, and the integral of the number in flight."""

    start: float
    answers: int = 0
    tokens: float = 0.0
    seconds: float = 0.0
    area: float = 0.0
    faults: int = 0

    @property
    def is_troubled(self) -> bool:
        """Whether too many requests failed for the limit to grow."""
        return self.faults > 1 + TOLERATED_FAULTS * self.answers

    def level(self, now: float) -> _Level:
        elapsed, seconds = max(now - self.start, 1e-9), max(self.seconds, 1e-9)
        in_flight = self.area / elapsed
        return _Level(
            in_flight, in_flight * self.tokens / seconds, self.answers / elapsed, seconds / max(1, self.answers), self.tokens / seconds
        )


@dataclass(frozen=True, slots=True)
class _Level:
    """A measurement: mean number in flight, tokens per second (by Little's law), answers per second, mean seconds of an answer."""

    in_flight: float
    throughput: float
    answers: float
    latency: float
    speed: float


class AdaptiveConcurrency:
    """A limit between 1 and `most` that follows the endpoint. All times are monotonic seconds, given by the caller."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(min(START, most))
        self._target = self._limit
        self._phase = _Phase.RAMP
        self._in_flight = 0.0
        self._at = 0.0
        self._window: _Window | None = None
        self._latency = 0.0
        self._served_at = -math.inf
        self._base: _Level | None = None
        self._cut_at = -math.inf
        self._ceiling = self._ceiling_seen = math.inf
        self._answers_owed = 0
        self._hold = 1
        self._rests = 0
        self._next_probe = _Phase.UP
        self._stride = STEP
        self._before_probe = self._limit

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once."""
        return int(self._limit)

    def sent(self, now: float) -> None:
        """Count a request that leaves."""
        self._advance(now)
        self._in_flight += 1

    def ended(self, now: float) -> None:
        """Count a request that ended, in any way. Called before `served`, `refused` or `faulted`."""
        self._advance(now)
        self._in_flight -= 1

    def is_ramping(self, now: float) -> bool:
        """Whether each answer raises the limit, to find what the endpoint can take; not where answers stay away, or others bound it."""
        grows = self._phase is _Phase.RAMP and self._limit < self.most and self._in_flight + 1 >= USED * self._limit
        return grows and now - self._served_at <= 2 * self._latency

    @property
    def limit_may_move(self) -> bool:
        """Whether answers can move the limit: always."""
        return True

    def occupied(self, in_flight: float, now: float) -> None:
        """Set the mean number in flight from now on: replaces `sent` and `ended` where several workers send."""
        self._advance(now)
        self._in_flight = in_flight

    def served(self, sent_at: float, now: float, tokens: float) -> None:
        """Learn from an answer of `tokens` completion tokens (1 if the endpoint reports none)."""
        latency = now - sent_at
        self._served_at = now
        self._latency += (latency - self._latency) / min(64, 1 + self._limit) if self._latency else latency
        self._answers_owed -= self._answers_owed > 0
        window = self._window
        if window is None:
            window = self._window = _Window(now)
        self._step(window, now)
        if self._in_flight > self._limit:
            self._settle(now)
        if now < window.start:
            return
        window.answers += 1
        window.tokens += tokens
        window.seconds += latency
        if window.answers >= self._enough and now - window.start >= self._span:
            self._judge(window, now)

    def faulted(self) -> None:
        """Learn from a failure (5xx, a broken connection): if they are frequent, the limit does not grow."""
        if self._window is not None:
            self._window.faults += 1

    def refused(self, sent_at: float, now: float) -> bool:
        """Learn from a refusal of a request sent at `sent_at`. Returns True if that cut the limit.

        Requests that were already on their way when the limit was cut belong to the same episode.
        """
        # A burst that was refused at the start must not bar a small limit from growing for minutes.
        self._answers_owed = min(self._answers_owed + ANSWERS_PER_REFUSAL, int(ANSWERS_PER_REFUSAL * (self._limit + START)))
        if sent_at < self._cut_at:
            return False
        reached = max(1.0, min(self._limit, float(self._in_flight)))
        soon = now - self._cut_at < max(1.0, self._latency)
        self._cut_at = now
        self._ceiling = self._ceiling_seen = reached
        self._limit = max(1.0, reached * BACK_OFF if soon else math.ceil(reached * BELOW_CEILING))
        self._rest(now)
        return True

    # Measuring

    def _advance(self, now: float) -> None:
        if now > self._at:
            if self._window is not None and now > self._window.start:
                self._window.area += self._in_flight * (now - max(self._at, self._window.start))
            self._at = now

    def _restart(self, start: float) -> None:
        self._window = _Window(start)

    @property
    def _enough(self) -> float:
        # A ramp grows by one for each answer: half of its limit came since it had half of it.
        return max(START, self._limit / 2) if self._phase is _Phase.RAMP else max(WINDOW_ANSWERS, 2 * self._limit)

    @property
    def _span(self) -> float:
        return self._latency if self._phase is _Phase.RAMP else 2 * self._latency

    def _judge(self, window: _Window, now: float) -> None:
        level = window.level(now)
        if level.in_flight < (RAMP_USED if self._phase is _Phase.RAMP else USED) * self._limit:
            # Too little to send, or another bottleneck: no evidence about the endpoint.
            self._restart(now)
            return
        if self._phase is _Phase.RAMP:
            self._judge_ramp(level, now)
        elif self._phase is _Phase.REST:
            self._judge_rest(level, now)
        else:
            self._judge_probe(level, now, troubled=window.is_troubled)

    # Moving

    def _step(self, window: _Window, now: float) -> None:
        """Move the limit by one towards its target, only while the limit is the bottleneck."""
        if self._in_flight + 1 < USED * self._limit or window.is_troubled:
            return
        if self._phase is _Phase.RAMP:
            self._limit = min(self.most, self._limit + 1)
        elif self._limit < self._target:
            self._limit = min(self._target, self._limit + (1.0 if self._ceiling_seen == math.inf else GENTLY))
            self._settle(now)

    def _judge_ramp(self, level: _Level, now: float) -> None:
        base, self._base = self._base, level
        self._restart(now)
        if base is None or level.in_flight < 1.4 * base.in_flight:
            return
        # While the number grows, answers reflect an earlier number: Little's law would credit their speed to the present one.
        gained = level.answers / base.answers
        expected = level.in_flight / base.in_flight
        if gained - 1 < (expected - 1) * RAMP_GAIN and level.speed < SLOWED * base.speed:
            # Little's law: the number in flight that carries this throughput at the earlier latency.
            self._limit = max(1.0, min(self._limit, level.answers * base.latency))
            self._latency = base.latency
            self._rest(now)

    def _rest(self, now: float) -> None:
        self._phase = _Phase.REST
        self._limit = self._target = max(1.0, min(self.most, self._limit))
        self._base = None
        self._hold, self._rests, self._stride = 1, 0, STEP
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Measure from when what is in flight was sent under the present limit."""
        self._restart(now + self._latency)

    def _judge_rest(self, level: _Level, now: float) -> None:
        self._base = level
        self._rests += 1
        if self._rests < self._hold:
            self._restart(now)
            return
        self._rests = 0
        self._before_probe = self._limit
        if self._next_probe is _Phase.DOWN and self._limit >= 2:
            self._phase, self._limit = _Phase.DOWN, max(1.0, self._limit / STEP)
            self._target = self._limit
        elif self._may_rise():
            self._phase, self._target = _Phase.UP, min(self.most, max(self._limit + 1, self._limit * self._stride))
        else:
            self._next_probe = _Phase.DOWN if self._ceiling == math.inf else _Phase.UP
            self._restart(now)
            return
        self._settle(now)

    def _may_rise(self) -> bool:
        if self._limit >= self.most:
            return False
        if self._answers_owed == 0:
            self._ceiling = math.inf
        return self._limit + 1 <= self._ceiling

    def _judge_probe(self, level: _Level, now: float, *, troubled: bool) -> None:
        base = self._base
        up = self._phase is _Phase.UP
        self._phase = _Phase.REST
        if base is None or level.in_flight == base.in_flight:
            self._settle(now)
            return
        elasticity = math.log(level.throughput / base.throughput) / math.log(level.in_flight / base.in_flight)
        if (up and elasticity >= PAYS and not troubled) or (not up and elasticity <= FLAT):
            self._hold = 1
            self._next_probe = _Phase.UP if up else _Phase.DOWN
            self._stride = min(LONGEST_STEP, self._stride * STEP) if up else STEP
            self._judge_rest(level, now)
            return
        self._limit = self._target = self._before_probe
        self._stride = STEP
        self._next_probe = _Phase.DOWN if up else _Phase.UP
        self._hold = min(LONGEST_HOLD, 2 * self._hold)
        self._settle(now)
