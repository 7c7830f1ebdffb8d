"""Decides when a worker pool with nothing in flight can send nothing more: an outage, the budget, or the retry budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batch.engine.backlog import Backlog
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.settings import RunSettings


def reason_to_stop(
    endpoint_pool: EndpointPool, backlog: Backlog, costs: Costs, probe: Work | None, now: float, *, exhausted: bool
) -> Stop | None:
    """Return why nothing more can be sent; None if something can be, now or later.

    `probe` is the reference whose test is due, `exhausted`: all rows have been read. `now` is in monotonic seconds.
    """
    deadline = endpoint_pool.outage_deadline
    is_late = deadline is not None and now >= deadline and _next_sending(endpoint_pool, backlog, now) > now
    if endpoint_pool.asks_too_long(now) or (is_late and not _tests_first(endpoint_pool, backlog, now)):
        return Stop("refused", endpoint_pool.outage(now))
    if backlog and costs.is_spent(work := backlog.next):
        return costs.exhausted(work)
    if probe is not None and costs.is_spent(probe):
        return costs.exhausted(probe)
    if _retries_are_spent(endpoint_pool, backlog, now, exhausted=exhausted):
        return Stop("refused", f"{endpoint_pool.name} fails too often: the retry budget of this run is spent")
    return None


def is_given_up(endpoint_pool: EndpointPool, now: float) -> bool:
    """Return whether what is in flight is not waited for: probes past the deadline. A test of a suspicion has the time of a request."""
    deadline = endpoint_pool.outage_deadline
    if deadline is None or now < deadline or not endpoint_pool.is_probing:
        return False
    return not any(endpoint.limiter.breaker.is_suspected for endpoint in endpoint_pool.endpoints)


def stops_of_late(faults: Mapping[str, str], name: str, run: RunSettings) -> Iterator[tuple[str, Stop]]:
    """Yield why each variant is stopped of which the pool `name` served nothing for run.outage_timeout_s, while others were served.

    `faults` are their last ones.
    """
    for variant, fault in faults.items():
        served_for = f"nothing of {variant} was served for {run.outage_timeout_s:g} s (run.outage_timeout_s), while others were"
        yield variant, Stop("refused", f"{name}: {served_for}: {fault}")


def _next_sending(endpoint_pool: EndpointPool, backlog: Backlog, now: float) -> float:
    """Return when something can be sent if nothing is in flight: now or later."""
    free = now + endpoint_pool.hold(now)
    return free if backlog.ready else max(free, backlog.next_due)


def _retries_are_spent(endpoint_pool: EndpointPool, backlog: Backlog, now: float, *, exhausted: bool) -> bool:
    """Return whether only retries are left, or there is room for nothing else, and the retry budget does not allow the next."""
    only_retries = not backlog.ready and (exhausted or backlog.is_full)
    return only_retries and backlog.next_due <= now and not endpoint_pool.may_retry(backlog.next_retry)


def _tests_first(endpoint_pool: EndpointPool, backlog: Backlog, now: float) -> bool:
    """Test an endpoint with the reference that served nothing in time, where nothing but rows that failed is left; else return False.

    It is not tested again once a test has shown that it is out of order. `now` is in monotonic seconds.
    """
    deadline = endpoint_pool.outage_deadline
    if deadline is None or now < deadline or backlog.ready or not backlog or endpoint_pool.asks_too_long(now):
        return False
    work = backlog.next_retry
    if work.endpoint is None or work.task.variant not in endpoint_pool.references:
        return False
    breaker = endpoint_pool.limiter_of(work).breaker
    if breaker.closed:
        endpoint_pool.suspect(work, now)
    return breaker.is_suspected and endpoint_pool.hold(now) <= 0
