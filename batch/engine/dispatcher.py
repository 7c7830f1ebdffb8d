"""Chooses what a worker pool sends next, and to which endpoint: probes first, then due retries, then new rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batch.engine.backlog import Backlog
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.work import PooledEndpoint, Work
from batch.tally import Tally


class Dispatcher:
    """Takes work out of one pool's backlog; `make_room` is called when it has taken some."""

    def __init__(
        self, endpoint_pool: EndpointPool, backlog: Backlog, costs: Costs, tallies: Mapping[str, Tally], make_room: Callable[[], None]
    ) -> None:
        self._endpoint_pool = endpoint_pool
        self._backlog = backlog
        self._costs = costs
        self._tallies = tallies
        self._make_room = make_room
        self._last_was_limited = False

    def pick_probe(self, now: float) -> tuple[Work, PooledEndpoint] | None:
        """Return the reference whose test is due, and the endpoint to test."""
        return self._endpoint_pool.pick_probe(now, has_rows=bool(self._backlog), has_fresh=bool(self._backlog.ready))

    def take(self, now: float) -> tuple[Work, PooledEndpoint] | None:
        """Return the next work to send now, and its endpoint; None if nothing can be sent. Its cost is reserved."""
        backlog = self._backlog
        if (probe := self.pick_probe(now)) is not None:
            if not self._costs.reserve(probe[0]):
                return None
            self._endpoint_pool.bytes.sent(len(probe[0].request.body))
            return probe
        retry = backlog.next_due <= now and self._endpoint_pool.may_retry(backlog.next_retry)
        if retry and backlog.ready and self._last_was_limited and backlog.next_retry.refused_at is not None:
            # A row that is refused for the rate each time must not precede all others forever.
            retry = False
        if retry and backlog.ready and self._endpoint_pool.is_probing:
            # Where nothing but probes is sent, rows of a model that is refused each time must not be all of them.
            retry = False
        if not retry and not backlog.ready:
            return None
        candidate = backlog.next_retry if retry else backlog.ready[0]
        endpoint = self._endpoint_pool.pick(candidate, now)
        if endpoint is None and retry and candidate.shunned and backlog.ready:
            # It waits for an endpoint that has not refused it; that is no reason for all others to wait.
            retry, candidate = False, backlog.ready[0]
            endpoint = self._endpoint_pool.pick(candidate, now)
        room = self._endpoint_pool.bytes
        if endpoint is None or not room.has_room(len(candidate.request.body)) or not self._costs.reserve(candidate):
            return None
        self._last_was_limited = retry and candidate.refused_at is not None
        if retry:
            work = backlog.take_retry()
            self._tallies[work.task.variant].waiting -= 1
        else:
            work = backlog.take()
        self._make_room()
        room.sent(len(work.request.body))
        return work, endpoint
