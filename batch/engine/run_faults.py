"""Decides what follows when an endpoint refuses a request for the run's fault: a key, money, a model, an address, a wait beyond patience.

An endpoint that has answered before is tested with what it answered. Refused as well, it is believed. Served, it is asked on: the row is
to blame as soon as another is served, and several such rows, with none served between, mean the run after all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from batch.engine.decisions import Decision, Fail, Retry, StopRun, Warn
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.limiter import ABSURD_WAIT_S
from batch.engine.stop import Stop
from batch.engine.task_keys import row_of
from batch.engine.work import PooledEndpoint, Withheld, Work
from batch.policy.blame import DISTINCT_RETRIED, DISTINCT_STOPS, MOST_PATIENCE, OF_THE_RATE, Blame, Evidence, blame
from batch.policy.pause_notices import in_seconds
from batch.policy.rate_limiter import STATED
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange
from batch.settings import RunSettings

# What is in flight: each task, its endpoint, and when it was sent.
InFlight = Callable[[], Iterable[tuple[Work, PooledEndpoint, float]]]


class RunFaults:
    """Decides for the refusals of one pool. `is_concluding`: nothing is left to send but rows that were refused."""

    def __init__(self, endpoint_pool: EndpointPool, run: RunSettings, in_flight: InFlight) -> None:
        self.is_concluding = False
        # By endpoint, until when it asked to wait, and when it did so.
        self._doubted: dict[str, tuple[float, float]] = {}
        # How many such refusals turned out to be the rows' own: an endpoint that has refused some is believed after more of them.
        self._cleared: Counter[Evidence] = Counter()
        self._endpoint_pool = endpoint_pool
        self._run = run
        self._in_flight = in_flight

    def believes(self, work: Work, verdict: Verdict) -> bool:
        """Return whether the run is to blame, as the endpoint says: where there is nothing to test it with."""
        testable = work.task.variant in self._endpoint_pool.references
        return blame(verdict, self._endpoint_pool.evidence(work), spent=True, has_reference=testable) is Blame.RUN

    def with_stated_wait(self, work: Work, verdict: Verdict, exchange: Exchange) -> Verdict:
        """Take the reset of a quota that a refusal says is used up for the wait it asks for, if it names none and this stops the run."""
        is_of_rate = verdict.error is not None and verdict.error.code in OF_THE_RATE
        if verdict.wait is not None or not is_of_rate or not any(name in exchange.headers for name in STATED):
            return verdict
        reset = self._endpoint_pool.limiter_of(work).rates.stated_hold(exchange.done_at)
        return replace(verdict, wait=reset) if reset >= self._run.outage_timeout_s else verdict

    def doubts_wait(self, work: Work, verdict: Verdict, now: float) -> bool:
        """Return whether the endpoint asks this row for a wait that would stop the run, and is tested before it is believed."""
        pool, wait, patience_s = self._endpoint_pool, verdict.wait, self._run.outage_timeout_s
        if wait is None or not patience_s <= wait <= ABSURD_WAIT_S or work.task.variant not in pool.references:
            return False
        limiter = pool.limiter_of(work)
        # Where it has asked so already, or is probed, the test has been made.
        return limiter.asked_until < now + patience_s and (limiter.breaker.closed or limiter.breaker.is_suspected)

    def believe_wait(self, probe: Work, now: float) -> None:
        """Keep to a wait that was doubted, now that the endpoint has refused the test too."""
        limiter = self._endpoint_pool.limiter_of(probe)
        until, doubted_at = self._doubted.pop(limiter.name, (0.0, 0.0))
        if until > now and not self._endpoint_pool.evidence(probe).served_after(doubted_at):
            limiter.asked_until = max(limiter.asked_until, until)
            limiter.pause(until - now, now)

    def doubt(
        self, work: Work, error: ErrorInfo, exchange: Exchange, withheld: list[Withheld], *, wait: float | None
    ) -> Iterator[Decision]:
        """Test the endpoint; the row goes to another one, or to the `withheld`.

        `wait` are the seconds that the endpoint asked it to wait; such a row is not sent again there if it is to blame.
        """
        pool, now = self._endpoint_pool, exchange.done_at
        if wait is not None:
            limiter = pool.limiter_of(work)
            until, _ = self._doubted.get(limiter.name, (0.0, 0.0))
            self._doubted[limiter.name] = max(until, now + wait), now
            # The headers of the refusal hold everything back, the test too.
            limiter.rates.forget_stated()
        if (notice := pool.refused_unclear(work, error, exchange)) is not None:
            yield Warn(notice)
        pool.suspect(work, now)
        if work.attempts < self._run.attempts and pool.moves(work, now):
            yield elsewhere(work, now)
        else:
            named = error if wait is None else self._named(wait, error)
            withheld.append(Withheld(work, named, exchange, is_stop=True, fails=wait is not None))

    def _named(self, wait: float, error: ErrorInfo) -> ErrorInfo:
        """Say how long the wait is: what the server says need not name it."""
        asks = f"the endpoint asks to wait for {in_seconds(wait)}, and run.outage_timeout_s is {in_seconds(self._run.outage_timeout_s)}"
        return replace(error, message=f"{asks}: {error.message}")

    def is_cleared(self, each: Withheld) -> bool:
        """Return whether its endpoint has served since it refused the row. The reference clears no stop while rows are left."""
        evidence, refused_at = self._endpoint_pool.evidence(each.work), each.exchange.done_at
        if each.is_stop and not self.is_concluding:
            return evidence.served_row_after(refused_at)
        return evidence.served_after(refused_at)

    def once_more(self, each: Withheld, cleared: int) -> Decision | None:
        """Send a row that seems to blame once more; None where it was, or is to fail. `cleared` is how many seem so with it.

        Several in a row may have met an endpoint that was broken for a while. Another refusal costs nothing and decides it.
        """
        work, attempts = each.work, self._run.attempts
        is_one_of_several = cleared >= DISTINCT_RETRIED and each.once_more and work.attempts < attempts
        # The others may have failed only after this row was withheld.
        beside_others = each.beside_others or self._endpoint_pool.evidence(work).recovered(each.exchange.sent_at)
        if work.sent_once_more or not (is_one_of_several or (beside_others and attempts > 1)):
            return None
        work.sent_once_more = True
        work.attempts = min(work.attempts, attempts - 1)
        return elsewhere(work, each.exchange.done_at)

    def again_or_fail(self, each: Withheld) -> Decision:
        """Let a row that alone was refused for the run's fault use up its attempts."""
        self._cleared[self._endpoint_pool.evidence(each.work)] += 1
        if each.work.attempts < self._run.attempts and not each.fails:
            return elsewhere(each.work, each.exchange.done_at)
        return Fail(each.work, each.error, each.exchange)

    def believed_of_several(self, withheld: Sequence[Withheld], *, has_rows: bool) -> Withheld | None:
        """Return one of the rows for which the endpoint is believed although it served the reference; None while it is not.

        `has_rows`: other rows are there to be sent.
        """
        stops = [each for each in withheld if each.is_stop]
        for each in stops:
            evidence = self._endpoint_pool.evidence(each.work)
            alike = [other for other in stops if self._endpoint_pool.evidence(other.work) is evidence]
            needed = min(MOST_PATIENCE, DISTINCT_STOPS + self._cleared[evidence])
            is_several = len({row_of(other.work.task) for other in alike}) >= needed
            if is_several and evidence.served_after(each.exchange.done_at) and self._is_tried(alike, has_rows=has_rows):
                return each
        return None

    def _is_tried(self, alike: Sequence[Withheld], *, has_rows: bool) -> bool:
        """Return whether rows that were sent after the first of these refusals were refused as well, and none of them may still be served.

        A refusal comes sooner than an answer: of many rows in flight the bad ones seem to be all, until the others are answered.
        """
        first = min(each.exchange.done_at for each in alike)
        later = len({row_of(each.work.task) for each in alike if each.exchange.sent_at >= first})
        endpoint, variant = alike[0].work.endpoint, alike[0].work.task.variant
        undecided = sum(
            sent_at >= first and at is endpoint and work.task.variant == variant and not work.is_probe
            for work, at, sent_at in self._in_flight()
        )
        if not has_rows:
            return undecided == 0
        # One row that hangs does not keep the others being sent and refused.
        return later >= DISTINCT_STOPS - 1 and later > 2 * undecided

    def rest_endpoint(self, work: Work, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        """Rest an endpoint that refuses every request; without another endpoint, stop the run."""
        notice = self._endpoint_pool.refused(work, error, exchange.sent_at, exchange.done_at)
        if notice is None:
            if not work.is_probe:
                yield Retry(work, exchange.done_at)
            variant = work.task.variant if error.code == "model_not_found" else None
            yield StopRun(Stop("refused", f"{self._endpoint_pool.name}: {error.message}"), self._run.grace_s, variant=variant)
            return
        if notice:
            yield Warn(notice)
        if not work.is_probe:
            yield elsewhere(work, exchange.done_at)


def elsewhere(work: Work, now: float) -> Retry:
    """Send a row again, to another endpoint or after a test: the retry budget, which guards one endpoint, does not pay for it."""
    work.charged_retry = False
    return Retry(work, now)
