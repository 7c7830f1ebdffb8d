"""The counts of a run, by variant."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

BOUNDS_S = tuple(0.01 * 2**power for power in range(17))
"""The upper bounds of the histograms of times, in seconds: those of OpenTelemetry's gen_ai.client.operation.duration, on to 11 minutes."""

AttemptKey = tuple[Literal["code", "took", "took_s", "first_token", "first_token_s"], str, str | int]
"""What is added up of ended attempts: (measure, endpoint, label). The label is the code of "code", the number of the bucket of "took" and
"first_token" (len(BOUNDS_S): beyond the last), and "" of the sums of their seconds."""


@dataclass(slots=True)
class Tally:
    """The counts of one variant in a run. `total` is rows × repeats, None while unknown.

    `again` counts those with a record of which this session sends another request, until that has ended.
    `accepted` counts those of kept_failed that the user takes as final.
    rows in = kept + ok + failed + not attempted. `kept` were final before this session; `durable` counts those of ok + failed
    that are synced. `doubled` counts attempts that were repeated although the endpoint may have answered and billed them. `repairs` counts
    answers that were requested again because they did not fit the job's schema, `failovers` attempts at another endpoint than the last.
    `unknown_endings` counts answers whose finish_reason is in no dialect (providers/endings.py).
    `copies` counts those of ok + failed for which the outcome of an equal request was taken, `priced` the answers whose cost is known.
    `extra_usd` is the most that attempts without a known cost may have cost; `abandoned` are requests given up in flight at a stop.
    `hedges` are second requests sent beside a slow one, `fallbacks` rows sent at the standard tier after flex had no capacity.
    `probes` are requests of rows answered before, sent again only to test an endpoint. `attempts` adds up attempts that ended.
    """

    total: int | None = None
    kept_ok: int = 0
    kept_failed: int = 0
    accepted: int = 0
    again: int = 0
    ok: int = 0
    failed: int = 0
    durable: int = 0
    truncated: int = 0
    filtered: int = 0
    unknown_endings: int = 0
    requests: int = 0
    retries: int = 0
    doubled: int = 0
    repairs: int = 0
    copies: int = 0
    failovers: int = 0
    in_flight: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    extra_usd: float = 0.0
    priced: int = 0
    abandoned: int = 0
    probes: int = 0
    hedges: int = 0
    fallbacks: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    attempts: dict[AttemptKey, float] = field(default_factory=dict)

    def ended(self, endpoint: str, code: str, took_s: float | None = None, first_token_s: float | None = None) -> None:
        """Add an attempt at an endpoint that ended: "ok", or the code of its error, with its times in seconds."""
        self._add(("code", endpoint, code), 1)
        if took_s is not None:
            self._add(("took", endpoint, bisect_left(BOUNDS_S, took_s)), 1)
            self._add(("took_s", endpoint, ""), took_s)
        if first_token_s is not None:
            self._add(("first_token", endpoint, bisect_left(BOUNDS_S, first_token_s)), 1)
            self._add(("first_token_s", endpoint, ""), first_token_s)

    def _add(self, key: AttemptKey, amount: float) -> None:
        self.attempts[key] = self.attempts.get(key, 0) + amount

    @property
    def finished(self) -> int:
        """Tasks with a final record, of this session and of earlier ones."""
        return self.kept_ok + self.kept_failed + self.ok + self.failed

    @property
    def done(self) -> int:
        """Tasks with a final record that this session does not send again."""
        return max(0, self.finished - max(0, self.again))

    @property
    def not_attempted(self) -> int | None:
        """Tasks without a final record; None while the total is unknown."""
        return None if self.total is None else max(0, self.total - self.finished)


def sum_tallies(tallies: Mapping[str, Tally]) -> Tally:
    """All variants as one; its total is unknown as long as one of theirs is."""
    whole = Tally(total=0)
    for tally in tallies.values():
        for name in COUNTS:
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
        # Rows may be appended to the input while it is read.
        whole.total = None if whole.total is None or tally.total is None else whole.total + max(tally.total, tally.finished)
        for code, count in tally.failures.items():
            whole.failures[code] = whole.failures.get(code, 0) + count
        for key, amount in tally.attempts.items():
            whole.attempts[key] = whole.attempts.get(key, 0) + amount
    return whole


def change(whole: Tally, now: Tally, before: Tally) -> None:
    """Add the difference between `now` and `before` to `whole`."""
    for name in COUNTS:
        setattr(whole, name, getattr(whole, name) + getattr(now, name) - getattr(before, name))
    for code in now.failures.keys() | before.failures.keys():
        whole.failures[code] = whole.failures.get(code, 0) + now.failures.get(code, 0) - before.failures.get(code, 0)
        if not whole.failures[code]:
            del whole.failures[code]
    for key, amount in now.attempts.items():
        whole.attempts[key] = whole.attempts.get(key, 0) + amount - before.attempts.get(key, 0)


COUNTS = tuple(field.name for field in fields(Tally) if field.name not in {"total", "failures", "attempts"})
