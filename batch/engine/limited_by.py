"""Names what limits a worker pool at a moment: the account of a run's time is made of such moments."""

from __future__ import annotations

from typing import Literal

from batch.engine.backlog import Backlog
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.limiter import EndpointLimiter

Cause = Literal["rate", "concurrency", "server", "input", "disk", "machine", "paused", "idle"]
"""The rates of the endpoints; their slots, all in use; their answers, or pauses that they asked for; rows that are not read yet; outcomes
that are not durable yet; this machine, which sends as fast as it can; a pause by the user; nothing left to do."""


def limited_by(pool: EndpointPool, backlog: Backlog, *, exhausted: bool, is_behind: bool, now: float) -> Cause:
    """Return what keeps a pool from sending more. `exhausted`: all rows have been read; `is_behind`: the journal waits for the disk."""
    if is_behind:
        return "disk"
    in_flight = sum(endpoint.in_flight for endpoint in pool.endpoints)
    if not backlog.ready and backlog.next_due > now:
        if not exhausted and not backlog.is_full:
            return "input"
        return "server" if in_flight or backlog else "idle"
    # At any moment a few slots wait for the next turn of the loop.
    if in_flight >= pool.limit - max(1, pool.limit // 10) or (in_flight and pool.bytes.is_full):
        return "concurrency"
    if all(_is_rationed(endpoint.limiter, now) for endpoint in pool.endpoints):
        return "rate"
    return "server" if pool.hold(now) > 0 else "machine"


def _is_rationed(limiter: EndpointLimiter, now: float) -> bool:
    """Return whether rates, set or learned, and no pause or outage, delay the next request."""
    return limiter.breaker.closed and limiter.paused(now) <= 0 and (limiter.learned.is_active or limiter.rates.hold(now) > 0)
