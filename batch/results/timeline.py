"""A run over time, in buckets: rows, latencies, tokens, cost, requests in flight, failed attempts by code, and what limited the run.

Memory does not depend on the number of rows: there are at most 400 buckets, whose width doubles when they would be more, and a latency is
counted in a histogram whose bars are 4 % wide. Pauses between sessions take no buckets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batch.journal.attempts import FailedAttempt
from batch.journal.lines import split
from batch.journal.watching import PoolSample
from batch.providers.usage import token_count

FORMAT = 1
MOST_BUCKETS = 400
OK = "ok"
_GROWTH = math.log(1.04)
_SHORTEST_S = 1e-4
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(slots=True)
class TimeBucket:
    """What ended in a span of time. `busy_s` sums the seconds in flight of what has ended.

    `limits` and `sampled` have for each pool the sum and the number of its samples: the limit, and what was in flight.
    """

    ok: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    busy_s: float = 0.0
    latencies: dict[int, int] = field(default_factory=dict)
    first_tokens: dict[int, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    causes: dict[str, float] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    sampled: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, other: TimeBucket) -> None:
        """Add another bucket to this one."""
        self.ok += other.ok
        self.failed += other.failed
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_usd += other.cost_usd
        self.busy_s += other.busy_s
        for own, more in ((self.latencies, other.latencies), (self.first_tokens, other.first_tokens)):
            for bar, count in more.items():
                own[bar] = own.get(bar, 0) + count
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        for cause, seconds in other.causes.items():
            self.causes[cause] = self.causes.get(cause, 0.0) + seconds
        for samples, others in ((self.limits, other.limits), (self.sampled, other.sampled)):
            for pool, (total, count) in others.items():
                _sample(samples, pool, total, count)


class Timeline:
    """The buckets of a run; records may come in any order. `attempts_kept`: failed attempts are counted from those that were kept."""

    def __init__(self, *, attempts_kept: bool) -> None:
        self.width_s = 1.0
        self.ok = self.failed = 0
        self._buckets: dict[int, TimeBucket] = {}
        self._attempts_kept = attempts_kept
        self._last: float | None = None

    def add_line(self, line: bytes) -> Mapping[str, Any] | None:
        """Add a journal line; returns its fields without the response, or None for one that is not a record."""
        fields = record_fields(line)
        if fields is not None:
            self.add(fields)
        return fields

    def add(self, fields: Mapping[str, Any]) -> None:
        """Add the fields of a record."""
        is_ok = fields["status"] == "ok"
        self.ok += is_ok
        self.failed += not is_ok
        sent, done = fields.get("sent"), fields.get("done")
        at = done if done is not None else self._last
        if at is None:
            return
        self._last = at
        bucket = self._bucket(at)
        bucket.ok += is_ok
        bucket.failed += not is_ok
        usage = fields.get("usage") or {}
        bucket.prompt_tokens += token_count(usage.get("prompt_tokens")) or 0
        bucket.completion_tokens += token_count(usage.get("completion_tokens")) or 0
        bucket.cost_usd += fields.get("cost_usd") or 0.0
        error = fields.get("error")
        if is_ok and done is not None:
            bucket.codes[OK] = bucket.codes.get(OK, 0) + 1
        elif error is not None and not self._attempts_kept:
            bucket.codes[error["code"]] = bucket.codes.get(error["code"], 0) + 1
        if sent is None or done is None:
            return
        if is_ok:
            _tick(bucket.latencies, done - sent)
            if (first := fields.get("first_token")) is not None:
                _tick(bucket.first_tokens, first - sent)
        self._in_flight(sent, done)

    def add_attempts(self, attempts: Iterable[FailedAttempt]) -> None:
        """Add failed attempts."""
        for attempt in attempts:
            codes = self._bucket(attempt.time).codes
            codes[attempt.code] = codes.get(attempt.code, 0) + 1
            # The last attempt of a failed row is that of its outcome.
            if attempt.then in {"retried", "test"}:
                self._in_flight(attempt.time - attempt.took_s, attempt.time)

    def add_sample(self, pool: str, sample: PoolSample) -> None:
        """Add a sample of a pool: its seconds to the buckets that they were spent in."""
        bucket = self._bucket(sample.time)
        _sample(bucket.limits, pool, sample.limit)
        _sample(bucket.sampled, pool, sample.in_flight)
        whole = sum(sample.seconds.values())
        for place, inside in self._spans(sample.time - whole, sample.time):
            causes = self._at(place).causes
            for cause, seconds in sample.seconds.items():
                causes[cause] = causes.get(cause, 0.0) + (seconds * inside / whole if whole else 0.0)

    def document(self) -> dict[str, Any]:
        """Return the columns of the buckets as JSON; times are in seconds, `start` since the epoch."""
        places = sorted(self._buckets)
        buckets = [self._buckets[place] for place in places]

        def column(value: Callable[[TimeBucket], Any]) -> list[Any]:
            return [value(bucket) for bucket in buckets]

        return {
            "format": FORMAT,
            "width_s": self.width_s,
            "start": [place * self.width_s for place in places],
            "ok": column(lambda each: each.ok),
            "failed": column(lambda each: each.failed),
            "prompt_tokens": column(lambda each: each.prompt_tokens),
            "completion_tokens": column(lambda each: each.completion_tokens),
            "cost_usd": column(lambda each: round(each.cost_usd, 9)),
            # A request that has not ended is in no record: samples know of it.
            "in_flight": column(lambda each: round(max(each.busy_s / self.width_s, _mean(each.sampled) or 0.0), 2)),
            "limit": column(lambda each: _mean(each.limits)),
            "latency_s": _quantile_columns(column(lambda each: each.latencies)),
            "first_token_s": _quantile_columns(column(lambda each: each.first_tokens)),
            "attempts": _named_columns(column(lambda each: each.codes)),
            "limited_by_s": _named_columns(column(lambda each: each.causes)),
        }

    def _in_flight(self, sent: float, done: float) -> None:
        for place, inside in self._spans(sent, done):
            self._at(place).busy_s += inside

    def _spans(self, began: float, ended: float) -> Iterator[tuple[int, float]]:
        """Yield the buckets between two times, each with the seconds in it."""
        # A clock that was set back, or a record of another hand.
        if not 0 <= ended - began < MOST_BUCKETS * self.width_s:
            return
        self._bucket(began)
        self._bucket(ended)
        width = self.width_s
        for place in range(math.floor(began / width), math.floor(ended / width) + 1):
            yield place, min(ended, (place + 1) * width) - max(began, place * width)

    def _bucket(self, time: float) -> TimeBucket:
        self._at(math.floor(time / self.width_s))
        while len(self._buckets) > MOST_BUCKETS:
            self._widen()
        return self._at(math.floor(time / self.width_s))

    def _at(self, place: int) -> TimeBucket:
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = TimeBucket()
        return bucket

    def _widen(self) -> None:
        self.width_s *= 2
        finer, self._buckets = self._buckets, {}
        for place, bucket in finer.items():
            self._at(place // 2).add(bucket)


def record_fields(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a journal line without its response; None for what is no record. Its checksum is not verified."""
    try:
        fields, _ = split(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and "status" in fields else None


def quantiles(bars: Mapping[int, int]) -> list[float | None]:
    """Return the median, the 95th and the 99th percentile of a histogram, within 2 %; None where it is empty."""
    whole = sum(bars.values())
    if not whole:
        return [None] * len(QUANTILES)
    found: list[float | None] = []
    ordered = sorted(bars.items())
    for share in QUANTILES:
        wanted, seen = max(1, math.ceil(share * whole)), 0
        for bar, count in ordered:
            seen += count
            if seen >= wanted:
                found.append(round(_SHORTEST_S * math.exp((bar + 0.5) * _GROWTH), 5))
                break
    return found


def _tick(bars: dict[int, int], seconds: float) -> None:
    bar = math.floor(math.log(max(seconds, _SHORTEST_S) / _SHORTEST_S) / _GROWTH)
    bars[bar] = bars.get(bar, 0) + 1


def _sample(samples: dict[str, tuple[int, int]], pool: str, total: int, count: int = 1) -> None:
    """Add `count` samples of a pool, whose sum is `total`."""
    before = samples.get(pool, (0, 0))
    samples[pool] = before[0] + total, before[1] + count


def _mean(samples: Mapping[str, tuple[int, int]]) -> float | None:
    """Return the mean of each pool's samples, added over the pools; None without any."""
    return round(sum(total / count for total, count in samples.values()), 2) if samples else None


def _quantile_columns(histograms: Sequence[Mapping[int, int]]) -> dict[str, list[float | None]]:
    if not any(histograms):
        return {}
    found = [quantiles(bars) for bars in histograms]
    return {f"p{round(share * 100)}": [of_bucket[at] for of_bucket in found] for at, share in enumerate(QUANTILES)}


def _named_columns(buckets: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return a column for each name, that with the most first."""
    totals: dict[str, float] = {}
    for bucket in buckets:
        for name, value in bucket.items():
            totals[name] = totals.get(name, 0) + value
    return {name: [round(bucket.get(name, 0), 3) for bucket in buckets] for name in sorted(totals, key=lambda each: (-totals[each], each))}
