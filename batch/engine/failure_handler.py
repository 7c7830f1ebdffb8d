"""Decides what follows attempts without an answer: another attempt, a failed row, or the end of the run.

`policy/blame.py` says what a refusal is blamed on. A row refused for an unclear reason is withheld: it fails when its endpoint serves a
later request, and is sent again when the endpoint turns out to be to blame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.backlog import Backlog
from batch.engine.bundles import divide
from batch.engine.decisions import Decision, Fail, ReportBug, Retry, StopRun, Warn
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.history import refused_for_the_moment, with_history
from batch.engine.row_faults import is_spent, named_error
from batch.engine.run_faults import InFlight, RunFaults, elsewhere
from batch.engine.stop import Stop
from batch.engine.task_keys import row_of
from batch.engine.tier_fallback import falls_back
from batch.engine.work import Bundle, Withheld, Work
from batch.events import UnexpectedError
from batch.policy.blame import (
    ALONE_REFUSALS,
    BLAMELESS,
    DISTINCT_REFUSED,
    DISTINCT_RETRIED,
    OF_THE_MOMENT,
    OF_THE_ROW,
    Blame,
    blame,
)
from batch.policy.verdicts import Action, Verdict
from batch.records import Api, ErrorInfo, Exchange
from batch.settings import RunSettings
from batch.tally import Tally

# This many different rows must be forbidden, and none ever answered, before the key is to blame and not the rows.
FORBIDDEN_ROWS = 5
# Whole answers of a form that the endpoint gives to each request, or that a bug here cannot read: the next would be paid for in vain.
SAME_AGAIN = frozenset({"no_choices", "unexpected"})
# A row that is refused for the rate this often is tested against a reference, once no rows are left that were never sent.
TRIES_BEFORE_TEST = 2


class FailureHandler:
    """Decides for the attempts of one pool. `served` are the APIs that have given an answer."""

    def __init__(
        self,
        endpoint_pool: EndpointPool,
        backlog: Backlog,
        tallies: Mapping[str, Tally],
        run: RunSettings,
        answer_checks: Mapping[str, AnswerSchemaCheck],
        in_flight: InFlight,
    ) -> None:
        self.withheld: list[Withheld] = []
        self.served: set[Api] = set()
        self._run_faults = RunFaults(endpoint_pool, run, in_flight)
        self._endpoint_pool = endpoint_pool
        self._backlog, self._tallies = backlog, tallies
        self._run, self._answer_checks = run, answer_checks

    def settle(self, work: Work, verdict: Verdict, exchange: Exchange, *, exhausted: bool) -> Iterator[Decision]:
        """Act on a verdict other than done. `exhausted` says that all rows have been read."""
        has_ok = self._tallies[work.task.variant].ok > 0
        verdict = self._run_faults.with_stated_wait(work, verdict, exchange)
        verdict = with_history(verdict, exchange, work, self._endpoint_pool, self.served, has_ok=has_ok)
        error = verdict.error
        assert error is not None  # noqa: S101 - only done comes without one
        if exchange.fault is not None and exchange.fault.bug is not None:
            yield ReportBug(UnexpectedError(exchange.fault.message, exchange.fault.bug))
        if verdict.unusable:
            yield from self._retry_unusable(work, verdict, error, exchange)
        elif verdict.action is Action.RETRY and not self._run_faults.doubts_wait(work, verdict, exchange.done_at):
            yield from self._retry(work, verdict, error, exchange, exhausted=exhausted)
        elif verdict.action is Action.FAIL:
            yield from self._refuse(work, verdict, error, exchange)
        else:
            yield from self._stop(work, verdict, error, exchange)

    def tested(self, probe: Work, verdict: Verdict, exchange: Exchange) -> Iterator[Decision]:
        """Decide after a refused reference: the endpoint is to blame for the rows that it refused since it last served."""
        error = verdict.error
        assert error is not None  # noqa: S101 - only done comes without one
        evidence = self._endpoint_pool.evidence(probe)
        self._run_faults.believe_wait(probe, exchange.done_at)
        # The path is right where it has served: an ingress that has lost its backend is waited for.
        if verdict.action is Action.STOP and not (error.code == "not_found" and evidence.has_served):
            evidence.condemn()
            yield from self._run_faults.rest_endpoint(probe, error, exchange)
        elif (notice := self._endpoint_pool.refused_probe(probe, verdict, exchange)) is not None:
            yield Warn(notice)
        yield from self.release()
        if evidence.is_condemned:
            yield from self._give_back(probe, exchange.done_at, error.message)

    def reject(self, work: Work, exchange: Exchange) -> Decision | None:
        """Check an answer against the variant's schema, or divide it among the rows of a bundle; None if it fits."""
        if isinstance(work, Bundle):
            undivided = divide(work, exchange)
            return None if undivided is None else Fail(work, undivided, exchange)
        check = self._answer_checks.get(work.task.variant)
        error = check.fault(exchange) if check is not None else None
        if check is None or error is None:
            return None
        if self._backlog.skips(work) or not check.repair(work, exchange, error):
            return Fail(work, error, exchange)
        self._tallies[work.task.variant].repairs += 1
        return Retry(work, exchange.done_at, error)

    def forget(self, variant: str) -> list[Work]:
        """Drop and return the withheld rows of a variant that is not sent any more."""
        dropped = [each.work for each in self.withheld if each.work.task.variant == variant]
        self.withheld = [each for each in self.withheld if each.work.task.variant != variant]
        return dropped

    def release(self) -> list[Decision]:
        """Decide on the withheld rows whose endpoint has served a request that was sent after it refused them: they are to blame.

        A row that was refused for the rate must be refused several times so: the request between may have used up the rate.
        """
        cleared = [each for each in self.withheld if self._run_faults.is_cleared(each)]
        self.withheld = [each for each in self.withheld if each not in cleared]
        decisions: list[Decision] = []
        if (believed := self._run_faults.believed_of_several(self.withheld, has_rows=bool(self._backlog.ready))) is not None:
            self.withheld.remove(believed)
            decisions.extend(self._run_faults.rest_endpoint(believed.work, believed.error, believed.exchange))
        for each in cleared:
            if each.is_stop:
                decisions.append(self._run_faults.again_or_fail(each))
            elif (again := self._run_faults.once_more(each, len(cleared))) is not None:
                decisions.append(again)
            elif each.due is not None and each.work.refused_alone < ALONE_REFUSALS:
                decisions.append(Retry(each.work, each.due))
            else:
                decisions.append(Fail(each.work, each.error, each.exchange))
        return decisions

    def conclude(self, now: float) -> Sequence[Decision]:
        """Test the endpoints of withheld rows when nothing else is left to send; fail the rows without a possible test."""
        self._run_faults.is_concluding = True
        if decisions := self.release():
            return decisions
        if self._endpoint_pool.references:
            for each in self.withheld:
                self._endpoint_pool.suspect(each.work, now)
            return []
        failed = [Fail(each.work, each.error, each.exchange) for each in self.withheld]
        self.withheld = []
        return failed

    def _stop(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        if self._run_faults.believes(work, verdict):
            work.attempts -= verdict.charged
            yield from self._run_faults.rest_endpoint(work, error, exchange)
            return
        wait = verdict.wait if verdict.action is Action.RETRY else None
        yield from self._run_faults.doubt(work, error, exchange, self.withheld, wait=wait)
        if self._endpoint_pool.evidence(work).is_condemned:
            yield from self._give_back(work, exchange.done_at)

    def _refuse(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        # A model that was never served is tested with the answered request of another one: it shows whether the endpoint is at fault.
        testable = bool(self._endpoint_pool.references)
        movable = error.code not in OF_THE_ROW and work.attempts < self._run.attempts and self._endpoint_pool.moves(work, exchange.done_at)
        may_be_endpoint = testable or movable or error.code == "permission"
        if blame(verdict, self._endpoint_pool.evidence(work), spent=True, has_reference=may_be_endpoint) is Blame.ROW:
            if (notice := self._endpoint_pool.answered(work, exchange)) is not None:
                yield Warn(notice)
            yield from self._fail_or_wait(work, error, exchange)
            return
        if testable or movable:
            self._endpoint_pool.evidence(work).failed(row_of(work.task))
            notice = self._endpoint_pool.refused_unclear(work, error, exchange)
        else:
            notice = self._endpoint_pool.answered(work, exchange)
        if notice is not None:
            yield Warn(notice)
        if movable:
            yield from self._suspect(work, exchange.done_at, DISTINCT_REFUSED, testable=testable)
            yield elsewhere(work, exchange.done_at)
        else:
            yield from self._withhold_refused(work, error, exchange, testable=testable)

    def _fail_or_wait(self, work: Work, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        """Fail a row that seems to blame; while nothing was ever answered, a few wait for an answer to test the endpoint with."""
        if error.code in OF_THE_ROW or self._endpoint_pool.references:
            yield Fail(work, error, exchange)
            return
        self.withheld.append(Withheld(work, error, exchange, once_more=True))
        refused = [each for each in self.withheld if each.error.code != "permission"]
        if len({row_of(each.work.task) for each in refused}) >= DISTINCT_REFUSED:
            self.withheld = [each for each in self.withheld if each.error.code == "permission"]
            yield from (Fail(each.work, each.error, each.exchange) for each in refused)

    def _withhold_refused(self, work: Work, error: ErrorInfo, exchange: Exchange, *, testable: bool) -> Iterator[Decision]:
        beside = testable and self._endpoint_pool.evidence(work).failed_others(exchange.sent_at, others=True)
        self.withheld.append(Withheld(work, error, exchange, once_more=True, beside_others=beside))
        if testable:
            yield from self._suspect(work, exchange.done_at, DISTINCT_REFUSED, testable=True)
        elif len({each.work.task.ordinal for each in self.withheld if each.error.code == "permission"}) >= FORBIDDEN_ROWS:
            # Nothing was ever answered: a key without rights must not fail the first rows.
            withheld, self.withheld = self.withheld, []
            yield from (Retry(each.work, exchange.done_at) for each in withheld)
            yield StopRun(Stop("refused", f"{self._endpoint_pool.name} forbids every request: {error.message}"), self._run.grace_s)

    def _suspect(self, work: Work, now: float, distinct: int, *, testable: bool) -> Iterator[Decision]:
        evidence = self._endpoint_pool.evidence(work)
        if not testable or not evidence.suspects(distinct):
            return
        self._endpoint_pool.suspect(work, now)
        if evidence.is_condemned:
            yield from self._give_back(work, now)

    def _give_back(self, work: Work, now: float, message: str | None = None) -> Iterator[Decision]:
        """Send again the rows that an endpoint refused through its own fault: of a model, and of all that it refused in the same words."""
        withheld, self.withheld = self.withheld, []
        for each in withheld:
            variant = each.work.task.variant
            is_meant = variant == work.task.variant or variant not in self._endpoint_pool.references or each.error.message == message
            if each.work.endpoint is work.endpoint and is_meant:
                if self._is_forgiven_too_often(each.work, now):
                    yield Fail(each.work, each.error, each.exchange)
                    continue
                each.work.shunned = ()
                # The refusals were not the row's fault: it has at least one attempt left.
                each.work.attempts = min(each.work.attempts, self._run.attempts - 1)
                each.work.failed_at = each.work.endpoint
                if each.may_be_billed:
                    self._count_double(each.work)
                yield elsewhere(each.work, now)
            else:
                self.withheld.append(each)

    def _is_forgiven_too_often(self, work: Work, now: float) -> bool:
        """Count an attempt that is given back; True where an endpoint that serves now and then has refused the row each time it did."""
        served_between = work.forgiven_at is not None and self._endpoint_pool.evidence(work).served_after(work.forgiven_at)
        work.forgiven += served_between
        work.forgiven_at = now
        return work.forgiven > ALONE_REFUSALS

    def _retry(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange, *, exhausted: bool) -> Iterator[Decision]:
        evidence = self._endpoint_pool.evidence(work)
        if error.code in OF_THE_MOMENT:
            verdict = refused_for_the_moment(verdict, error, work, evidence, exchange.done_at)
        elif error.code not in BLAMELESS:
            evidence.failed(row_of(work.task))
        due, notice = self._endpoint_pool.postpone(work, verdict, exchange.sent_at, exchange.done_at)
        if notice:
            yield Warn(notice)
        variant = work.task.variant
        references = self._endpoint_pool.references
        # As in `_refuse`, another model's answered request tests the endpoint; but each model has a rate of its own.
        testable = variant in references or (bool(references) and error.code not in OF_THE_MOMENT)
        # Rows of another variant prove nothing: its model may be served while this one is not.
        others = not exhausted or any(each.task.variant == variant for each in self._backlog.ready)
        # A refusal that costs no attempt would be repeated for ever; the last rows of a run are tested after a few.
        is_stuck = error.code in OF_THE_MOMENT and not verdict.charged and work.tries > TRIES_BEFORE_TEST and testable and not others
        spent = is_stuck or is_spent(work, self._run, self._endpoint_pool.outage_since, exchange.done_at)
        if falls_back(work, error, self._run, self._tallies[variant], spent=spent):
            self._count_if_billed(work, verdict)
            yield Retry(work, exchange.done_at)
            return
        is_open = not self._endpoint_pool.is_serving(work)
        found = blame(verdict, evidence, spent=spent, has_reference=testable, has_others=others, is_open=is_open)
        # Others were served after each of these refusals: another test would only find the endpoint in one of its worse moments.
        if found is Blame.ROW or (is_stuck and work.refused_alone >= ALONE_REFUSALS):
            yield Fail(work, named_error(work, error, self._endpoint_pool.largest_served), exchange)
            return
        if found is Blame.UNCLEAR and testable:
            yield from self._withhold_spent(work, verdict, error, exchange, due, others=others)
            return
        self._count_if_billed(work, verdict)
        work.charged_retry = verdict.charged
        yield Retry(work, due)

    def _withhold_spent(
        self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange, due: float, *, others: bool
    ) -> Iterator[Decision]:
        evidence = self._endpoint_pool.evidence(work)
        beside = evidence.failed_others(exchange.sent_at, others=others)
        if error.code in OF_THE_MOMENT:
            evidence.failed(row_of(work.task))
        work.charged_retry = verdict.charged
        again = due if error.code in OF_THE_MOMENT and not verdict.charged else None
        named = named_error(work, error, self._endpoint_pool.largest_served)
        self.withheld.append(Withheld(work, named, exchange, again, may_be_billed=verdict.may_be_billed_twice, beside_others=beside))
        yield from self._suspect(work, exchange.done_at, DISTINCT_RETRIED, testable=True)

    def _retry_unusable(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> Iterator[Decision]:
        """Retry once at most after a complete answer that cannot be read. The endpoint serves: it is not at fault."""
        if (notice := self._endpoint_pool.answered(work, exchange)) is not None:
            yield Warn(notice)
        has_text = exchange.reply is not None and exchange.reply.text is not None
        if has_text and (decision := self.reject(work, exchange)) is not None:
            yield decision
            return
        work.unusable += 1
        if work.unusable > 1 or error.code in SAME_AGAIN or work.attempts >= self._run.attempts:
            yield Fail(work, error, exchange)
            return
        self._count_if_billed(work, verdict)
        work.charged_retry = True
        yield Retry(work, exchange.done_at)

    def _count_if_billed(self, work: Work, verdict: Verdict) -> None:
        if verdict.may_be_billed_twice:
            self._count_double(work)

    def _count_double(self, work: Work) -> None:
        work.may_be_billed_twice += 1
        self._tallies[work.task.variant].doubled += 1
