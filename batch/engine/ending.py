"""Decides when a worker pool with nothing in flight can send nothing more: an outage, the budget, or the retry budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batch.engine.backlog import Backlog
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.stop import Stop
from batch.engine.work import Withheld, Work
from batch.settings import RunSettings


def reason_to_stop(
    endpoint_pool: EndpointPool, backlog: Backlog, costs: Costs, probe: Work | None, now: float, *, exhausted: bool
) -> Stop | None:
    """Return why nothing more can be sent; None if something can be, now or later.

    `probe` is the reference whose test is due, `exhausted`: all rows have been read. `now` is in monotonic seconds.
    """
    if endpoint_pool.asks_too_long(now):
        return Stop("refused", endpoint_pool.outage(now))
    deadline = endpoint_pool.outage_deadline
    is_late = deadline is not None and now >= deadline
    # Asked before what is due: a row would be the last attempt, and show nothing where it is bad.
    tests_first = is_late and (_tests_now(endpoint_pool, probe, now) or _tests_first(endpoint_pool, backlog, now))
    if is_late and not tests_first and _next_sending(endpoint_pool, backlog, now) > now:
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


class LateVariants:
    """Decides which variants to give up of which nothing was served in time, while others of the pool were."""

    def __init__(self, endpoint_pool: EndpointPool, backlog: Backlog) -> None:
        self._endpoint_pool, self._backlog = endpoint_pool, backlog
        self._tested: set[str] = set()

    def given_up(self, withheld: Sequence[Withheld], now: float) -> dict[str, str]:
        """Return the variants to give up, each with its last fault. One of which a row was refused is tested first, once each time."""
        pool, given_up = self._endpoint_pool, {}
        late = pool.late_variants(now)
        self._tested &= late.keys()
        for variant, fault in late.items():
            refused = next((each.work for each in withheld if each.work.task.variant == variant), None)
            work = refused or self._backlog.retry_of(variant)
            if work is None and variant not in self._backlog.variants:
                # Its last rows have failed. Where others are still to be read, the next failure begins the time again.
                for endpoint in pool.endpoints:
                    endpoint.limiter.forget_failures(variant)
            elif work is None or variant not in pool.references or (variant in self._tested and not pool.is_testing):
                given_up[variant] = fault
            elif variant not in self._tested:
                self._tested.add(variant)
                pool.suspect(work, now)
        return given_up


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


def _tests_now(endpoint_pool: EndpointPool, probe: Work | None, now: float) -> bool:
    """Return whether the test of a suspicion is sent next: the last rows may have spent their attempts, so that none waits to be sent."""
    suspected = (endpoint.limiter for endpoint in endpoint_pool.endpoints if endpoint.limiter.breaker.is_suspected)
    return probe is not None and any(limiter.hold(now) <= 0 for limiter in suspected)


def _tests_first(endpoint_pool: EndpointPool, backlog: Backlog, now: float) -> bool:
    """Test an endpoint with the reference that served nothing in time, where nothing but rows that failed is left; else return False.

    It is not tested again once a test has shown that it is out of order. `now` is in monotonic seconds, and past the deadline.
    """
    if backlog.ready or not backlog:
        return False
    work = backlog.next_retry
    if work.endpoint is None or work.task.variant not in endpoint_pool.references:
        return False
    breaker = endpoint_pool.limiter_of(work).breaker
    if breaker.closed:
        endpoint_pool.suspect(work, now)
    return breaker.is_suspected and endpoint_pool.hold(now) <= 0
