"""Decides what becomes of attempts that gave no answer: another attempt, a failed row, or the end of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.backlog import Backlog
from batch.engine.decisions import Decision, Fail, Retry, StopRun, Warn
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.policy.verdicts import Action, Verdict
from batch.records import Api, ErrorInfo, Exchange, Tally
from batch.settings import RunSettings

# This many different rows must be forbidden, and none answered between, before the key is to blame and not the rows.
FORBIDDEN_ROWS = 5


class FailureHandler:
    """Decides for the attempts of one pool. `served` are the APIs that have given an answer, `withheld` the forbidden rows."""

    def __init__(
        self,
        endpoint_pool: EndpointPool,
        backlog: Backlog,
        tallies: Mapping[str, Tally],
        run: RunSettings,
        answer_checks: Mapping[str, AnswerSchemaCheck],
    ) -> None:
        self.withheld: list[tuple[Work, ErrorInfo, Exchange]] = []
        self.served: set[Api] = set()
        self._endpoint_pool = endpoint_pool
        self._backlog = backlog
        self._tallies = tallies
        self._run = run
        self._answer_checks = answer_checks

    def settle(self, work: Work, verdict: Verdict, exchange: Exchange, *, exhausted: bool) -> Iterator[Decision]:
        """Act on a verdict other than done. `exhausted` says that all rows have been read."""
        error = verdict.error
        assert error is not None  # noqa: S101 - only done comes without one
        if verdict.action is Action.RETRY:
            yield from self._retry(work, verdict, error, exchange, exhausted=exhausted)
        elif verdict.action is Action.FAIL:
            yield from self._refuse(work, error, exchange)
        elif error.code == "tls" and self._tallies[work.task.variant].ok:
            # An endpoint that has served has no wrong certificate: a handshake broke.
            yield from self._retry(work, replace(verdict, action=Action.RETRY, charged=False), error, exchange, exhausted=exhausted)
        elif error.code == "not_found" and self.served and work.task.request.api not in self.served:
            # The address is right, for another API is served there; this one is not.
            yield from self._refuse(work, error, exchange)
        else:
            yield from self._rest_endpoint(work, verdict, error, exchange)

    def reject(self, work: Work, exchange: Exchange) -> Decision | None:
        """Check an answer against the variant's schema; None when it fits."""
        check = self._answer_checks.get(work.task.variant)
        error = check.fault(exchange) if check is not None else None
        if check is None or error is None:
            return None
        if self._backlog.skips(work) or not check.repair(work, exchange, error):
            return Fail(work, error, exchange)
        self._tallies[work.task.variant].repairs += 1
        return Retry(work, exchange.done_at)

    def release(self) -> list[Fail]:
        """Fail the forbidden rows: others are served, or there are no others."""
        withheld, self.withheld = self.withheld, []
        return [Fail(*each) for each in withheld]

    def _refuse(self, work: Work, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        if (notice := self._endpoint_pool.answered(work, exchange.done_at)) is not None:
            yield Warn(notice)
        if error.code == "permission" and work.attempts < self._run.attempts and not self._endpoint_pool.forbids(work):
            yield self._elsewhere(work, exchange.done_at)
        elif error.code == "permission":
            yield from self._withhold(work, error, exchange)
        else:
            yield Fail(work, error, exchange)

    def _withhold(self, work: Work, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        """Keep a forbidden row until it is clear that the row is to blame: a key without rights must not fail the first rows."""
        self.withheld.append((work, error, exchange))
        if len({work.task.ordinal for work, _, _ in self.withheld}) < FORBIDDEN_ROWS:
            return
        withheld, self.withheld = self.withheld, []
        for forbidden, _, _ in withheld:
            yield Retry(forbidden, exchange.done_at)
        yield StopRun(Stop("refused", f"{self._endpoint_pool.name} forbids every request: {error.message}"), self._run.grace_s)

    def _rest_endpoint(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        """The endpoint refuses every request: others continue without it, and without others the run ends."""
        notice = self._endpoint_pool.refused(work, error, exchange.sent_at, exchange.done_at)
        if notice is None:
            yield Retry(work, exchange.done_at)
            yield StopRun(Stop("refused", f"{self._endpoint_pool.name}: {error.message}"), self._run.grace_s)
            return
        if notice:
            yield Warn(notice)
        work.attempts -= verdict.charged
        yield self._elsewhere(work, exchange.done_at)

    def _elsewhere(self, work: Work, now: float) -> Retry:
        work.charged_retry = False
        return Retry(work, now)

    def _retry(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange, *, exhausted: bool) -> Iterator[Decision]:
        due, notice = self._endpoint_pool.postpone(work, verdict, exchange.sent_at, exchange.done_at)
        if notice:
            yield Warn(notice)
        if self._is_spent(work, exchange.done_at) and not self._blames_endpoint(work, exhausted=exhausted):
            yield Fail(work, error, exchange)
            return
        if verdict.may_be_billed_twice:
            work.may_be_billed_twice += 1
            self._tallies[work.task.variant].doubled += 1
        work.charged_retry = verdict.charged
        yield Retry(work, due)

    def _is_spent(self, work: Work, now: float) -> bool:
        """Whether the row had all its attempts, or all its time; an outage does not count as time."""
        outage_since, first_sent = self._endpoint_pool.outage_since, work.first_sent
        served_until = now if outage_since is None else outage_since
        overdue = first_sent is not None and served_until - first_sent > self._run.task_timeout_s
        return overdue or work.attempts >= self._run.attempts

    def _blames_endpoint(self, work: Work, *, exhausted: bool) -> bool:
        """Whether a row that failed too often is spared: the endpoint fails for all, and other rows are there to test it with."""
        return self._endpoint_pool.suspects_endpoint(work) and (bool(self._backlog.ready) or not exhausted)
