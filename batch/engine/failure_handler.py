"""What becomes of attempts that gave no answer, and of rows that cannot be sent: tried again, failed, or the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.backlog import Backlog
from batch.engine.costs import Costs
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.feed import Copied, Unsendable
from batch.engine.limiter import Work
from batch.engine.recorder import Recorder
from batch.engine.reply_notices import ReplyNotices
from batch.engine.stop import Stop
from batch.errors import StorageError, describe_bug
from batch.events import UnexpectedError
from batch.policy.failures import FailureLimit
from batch.policy.verdicts import Action, Verdict
from batch.records import Api, ErrorInfo, ErrorKind, Exchange
from batch.settings import RunSettings

# So many different rows must be forbidden, and none answered between, before it is held to be about the key and not the rows.
FORBIDDEN_ROWS = 5


class FailureHandler:
    """Settles the attempts of one pool. What it cannot settle for good it puts into the backlog.

    `served` are the APIs that have given an answer. `stop` ends this pool, `stop_run` all of them. `exhausted` tells whether all rows
    have been read.
    """

    def __init__(
        self,
        endpoint_pool: EndpointPool,
        backlog: Backlog,
        recorder: Recorder,
        run: RunSettings,
        *,
        answer_checks: Mapping[str, AnswerSchemaCheck],
        exhausted: Callable[[], bool],
        notice: Callable[[str], None],
        stop: Callable[[Stop, float], None],
        stop_run: Callable[[Stop, float], None],
        report_bug: Callable[[UnexpectedError], None],
    ) -> None:
        self._report_bug = report_bug
        self._reply_notices = ReplyNotices()
        self.withheld: list[tuple[Work, ErrorInfo, Exchange]] = []
        self.served: set[Api] = set()
        self._endpoint_pool = endpoint_pool
        self._backlog = backlog
        self._recorder = recorder
        self._run = run
        self._answer_checks = answer_checks
        self._limit = FailureLimit(run.max_failures)
        self._exhausted = exhausted
        self._notice = notice
        self._stop = stop
        self._stop_run = stop_run

    def complete(self, work: Work, exchange: Exchange) -> bool:
        """Record an answer, unless it does not fit its schema; True when something else may be sent because of it."""
        news = self._endpoint_pool.served(work, exchange)
        for text in [*([] if news is None else [news]), *self._reply_notices.of(work, exchange)]:
            self._notice(text)
        self.served.add(work.task.request.api)
        if self.withheld:
            self.release()
        if self._answer_checks and self.rejects(work, exchange):
            return True
        self._recorder.completed(work, exchange)
        return news is not None

    def fail_unexpected(self, work: Work, exchange: Exchange, error: Exception, costs: Costs) -> None:
        """Fail the row whose reply met a bug of promptmill, and report the bug."""
        message = f"{type(error).__name__} while the reply was judged: this is a bug in promptmill"
        self._report_bug(UnexpectedError(message, describe_bug(error)))
        empty = replace(exchange, body=b"", reply=None, headers={})
        if work.reserved:
            costs.ended(work, empty, Verdict(Action.FAIL, doubled=True))
        self.fail(work, ErrorInfo(ErrorKind.PROTOCOL, "unexpected", message, exchange.status), empty)

    def settle(self, work: Work, verdict: Verdict, exchange: Exchange) -> None:
        """Act on a verdict other than done."""
        error = verdict.error
        assert error is not None  # noqa: S101 - only done comes without one
        if exchange.fault is not None and exchange.fault.bug is not None:
            self._report_bug(UnexpectedError(exchange.fault.message, exchange.fault.bug))
        if verdict.unusable:
            self._retry_unusable(work, verdict, error, exchange)
        elif verdict.action is Action.RETRY:
            self._retry(work, verdict, error, exchange)
        elif verdict.action is Action.FAIL:
            self._refuse(work, error, exchange)
        elif error.code == "tls" and self._recorder.tallies[work.task.variant].ok:
            # Who has served has no wrong certificate: a handshake broke.
            self._retry(work, replace(verdict, action=Action.RETRY, charged=False), error, exchange)
        elif error.code == "not_found" and self.served and work.task.request.api not in self.served:
            # The address is right, for another API is served there; this one is not.
            self._refuse(work, error, exchange)
        else:
            self._leave_out(work, verdict, error, exchange)

    def rejects(self, work: Work, exchange: Exchange) -> bool:
        """Whether the answer does not fit the variant's schema: then it is asked for again, or the row has failed."""
        demand = self._answer_checks.get(work.task.variant)
        error = demand.fault(exchange) if demand is not None else None
        if demand is None or error is None:
            return False
        if not self._backlog.leaves_out(work) and demand.repair(work, exchange, error):
            tally = self._recorder.tallies[work.task.variant]
            tally.repairs += 1
            tally.waiting += 1
            self._backlog.postpone(work, exchange.done_at)
        else:
            self.fail(work, error, exchange)
        return True

    def fail(self, work: Work, error: ErrorInfo, exchange: Exchange | None) -> None:
        """The row has failed; `exchange` is None when nothing was sent."""
        try:
            self._recorder.failed(work, error, exchange)
        except StorageError as problem:
            self.storage_failed(problem)
        else:
            self._count_failure(work, error)

    def settle_unsent(self, item: Unsendable | Copied) -> None:
        """Make work final that needs no attempt; nothing, when its variant is left out."""
        if self._backlog.leaves_out(item.work):
            return
        if isinstance(item, Unsendable):
            self.fail(item.work, item.error, None)
            return
        try:
            self._recorder.copied(item.work, item.outcome)
        except StorageError as problem:
            self.storage_failed(problem)
        else:
            if item.outcome.error is not None:
                self._count_failure(item.work, item.outcome.error)

    def _count_failure(self, work: Work, error: ErrorInfo) -> None:
        tallies = self._recorder.tallies
        reason = self._limit.exceeded(tallies.values(), tallies[work.task.variant], error)
        if reason is not None:
            example = f"row {work.task.ordinal}, id {work.task.id}: {error.message}"
            self._stop_run(Stop("refused", f"{reason}; for example {example}"), self._run.grace_s)

    def release(self) -> None:
        """Fail the rows that were forbidden: others are served, or there are no others."""
        withheld, self.withheld = self.withheld, []
        for work, error, exchange in withheld:
            self.fail(work, error, exchange)

    def storage_failed(self, error: StorageError) -> None:
        """Nothing can be recorded any more, so no answer is waited for."""
        self._stop_run(Stop("storage", str(error)), 0.0)

    def _refuse(self, work: Work, error: ErrorInfo, exchange: Exchange) -> None:
        if (news := self._endpoint_pool.answered(work, exchange.done_at)) is not None:
            self._notice(news)
        if error.code == "permission" and work.attempts < self._run.attempts and not self._endpoint_pool.forbids(work):
            self._try_elsewhere(work, exchange.done_at)
        elif error.code == "permission":
            self._withhold(work, error, exchange)
        else:
            self.fail(work, error, exchange)

    def _withhold(self, work: Work, error: ErrorInfo, exchange: Exchange) -> None:
        """Keep a forbidden row until it is known whether it is about the row: a key without rights must not fail the first rows."""
        self.withheld.append((work, error, exchange))
        if len({work.task.ordinal for work, _, _ in self.withheld}) < FORBIDDEN_ROWS:
            return
        for forbidden, _, _ in self.withheld:
            self._backlog.postpone(forbidden, exchange.done_at)
        self.withheld = []
        self._stop(Stop("refused", f"{self._endpoint_pool.name} forbids every request: {error.message}"), self._run.grace_s)

    def _leave_out(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> None:
        """The endpoint refuses every request: others go on without it, and without others the run ends."""
        notice = self._endpoint_pool.refused(work, error, exchange.sent_at, exchange.done_at)
        if notice is None:
            self._backlog.postpone(work, exchange.done_at)
            self._stop(Stop("refused", f"{self._endpoint_pool.name}: {error.message}"), self._run.grace_s)
            return
        if notice:
            self._notice(notice)
        work.attempts -= verdict.charged
        self._try_elsewhere(work, exchange.done_at)

    def _try_elsewhere(self, work: Work, now: float) -> None:
        work.charged_retry = False
        self._backlog.postpone(work, now)
        self._recorder.tallies[work.task.variant].waiting += 1

    def _retry(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> None:
        due, notice = self._endpoint_pool.postpone(work, verdict, exchange.sent_at, exchange.done_at)
        if notice:
            self._notice(notice)
        if self._is_spent(work, exchange.done_at) and not self._blames_endpoint(work):
            self.fail(work, error, exchange)
            return
        tally = self._recorder.tallies[work.task.variant]
        if verdict.doubled:
            work.doubled += 1
            tally.doubled += 1
        work.charged_retry = verdict.charged
        self._backlog.postpone(work, due)
        tally.waiting += not self._backlog.leaves_out(work)

    def _retry_unusable(self, work: Work, verdict: Verdict, error: ErrorInfo, exchange: Exchange) -> None:
        """Ask once more for an answer that came whole in a form that cannot be used. The endpoint serves: it is not at fault."""
        if (news := self._endpoint_pool.answered(work, exchange.done_at)) is not None:
            self._notice(news)
        if exchange.reply is not None and exchange.reply.text is not None and self.rejects(work, exchange):
            return
        work.unusable += 1
        if work.unusable > 1 or work.attempts >= self._run.attempts:
            self.fail(work, error, exchange)
            return
        tally = self._recorder.tallies[work.task.variant]
        work.doubled += verdict.doubled
        tally.doubled += verdict.doubled
        work.charged_retry = True
        self._backlog.postpone(work, exchange.done_at)
        tally.waiting += not self._backlog.leaves_out(work)

    def _is_spent(self, work: Work, now: float) -> bool:
        """Whether the row had all its attempts, or all its time; that in which nobody was served does not count."""
        outage_since, first_sent = self._endpoint_pool.outage_since, work.first_sent
        served_until = now if outage_since is None else outage_since
        overdue = first_sent is not None and served_until - first_sent > self._run.task_timeout_s
        return overdue or work.attempts >= self._run.attempts

    def _blames_endpoint(self, work: Work) -> bool:
        """Whether a row that failed too often is spared: the endpoint fails for all, and other rows are there to test it with."""
        return self._endpoint_pool.suspects_endpoint(work) and (bool(self._backlog.ready) or not self._exhausted())
