"""Writes outcomes to journals and counts them in tallies: the only place where a task becomes final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.work import Bundle, Work
from batch.errors import StorageError
from batch.journal.lines import encode
from batch.journal.writer import JournalWriter
from batch.policy.tiers import STANDARD
from batch.policy.usage import added
from batch.providers.endings import is_unknown_ending
from batch.providers.replies import answer_within
from batch.records import ErrorInfo, ErrorKind, Exchange, Outcome
from batch.tally import Tally


class Recorder:
    """Writes the outcomes of a run, each to the journal of its variant, and counts them."""

    def __init__(self, journals: Mapping[str, JournalWriter], tallies: Mapping[str, Tally], clock: Clock, costs: Costs) -> None:
        self.tallies = tallies
        self._costs = costs
        self._journals = journals
        self._pending: list[tuple[Work, Outcome]] = []
        # Times are measured by the monotonic clock, which no adjustment moves, and journaled as wall time.
        self._epoch = clock.wall() - clock.monotonic()

    def completed(self, work: Work, exchange: Exchange) -> None:
        """Keep an answer, or those of a bundle's rows, for the next `flush`, which journals them with the others."""
        answers = work.answers if isinstance(work, Bundle) else ((work, exchange),)
        self._pending += [(each, self._outcome(each, part, None)) for each, part in answers]

    def failed(self, work: Work, error: ErrorInfo, exchange: Exchange | None) -> None:
        """Journal a failure; `exchange` is None if nothing was sent. Raises StorageError."""
        self._pending.append((work, self._outcome(work, exchange, error)))
        self.flush()

    def copied(self, work: Work, outcome: Outcome) -> None:
        """Journal the outcome of an equal request that was sent instead: no time, tokens or money of its own. Raises StorageError."""
        task = work.task
        copy = replace(
            outcome,
            ordinal=task.ordinal,
            id=task.id,
            repeat=task.repeat,
            attempts=0,
            doubled=0,
            sent=None,
            first_token=None,
            done=None,
            usage=None,
            cost_usd=0.0,
            extra_usd=0.0,
            copy_of=outcome.ordinal if outcome.copy_of is None else outcome.copy_of,
        )
        self._pending.append((work, copy))
        self.flush()

    def dropped(self, work: Work) -> None:
        """Take note that `work` gets no outcome in this session: its variant is not sent any more. Nothing to do here."""

    def flush(self) -> None:
        """Journal the kept answers, in one write for each journal, and count them. Raises StorageError; what was written is counted."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        by_journal: dict[JournalWriter, list[tuple[Work, Outcome]]] = {}
        for work, outcome in pending:
            by_journal.setdefault(self._journal(work), []).append((work, outcome))
        refused: StorageError | None = None
        for journal, records in by_journal.items():
            before = journal.appended
            written = [_line(outcome) for _, outcome in records]
            try:
                journal.append(*[line for _, line in written])
            except StorageError as error:
                refused = error
            # A refused append may have written some of its lines: those are final and count.
            for (work, _), (outcome, _) in zip(records[: journal.appended - before], written, strict=False):
                self._count(work, outcome)
        if refused is not None:
            raise refused

    async def sync(self, variant: str | None = None, *, due: bool = False) -> None:
        """Make the records durable, of one variant or of all; `due`: only of those whose time has come. Raises StorageError."""
        self.flush()
        for name, journal in self._journals.items():
            if (variant is None or name == variant) and (not due or journal.is_due):
                self.tallies[name].durable = await journal.sync()

    def is_behind(self, variant: str) -> bool:
        """Return whether too many records of a variant wait to become durable: nothing more should be sent before."""
        return self._journals[variant].is_behind

    def _outcome(self, work: Work, exchange: Exchange | None, error: ErrorInfo | None) -> Outcome:
        task = work.task
        if exchange is None:
            return Outcome(task.ordinal, task.id, task.repeat, task.request.key, work.tries, error, extra_usd=work.extra_usd)
        reply = exchange.reply
        usage = added(work.used, reply.usage if reply else None)
        response = exchange.body if error is None or error.kind is ErrorKind.OUTPUT else None
        return Outcome(
            ordinal=task.ordinal,
            id=task.id,
            repeat=task.repeat,
            key=task.request.key,
            attempts=work.tries,
            doubled=work.may_be_billed_twice,
            error=error,
            api=task.request.api,
            finish_reason=reply.finish_reason if reply else None,
            http_status=exchange.status,
            sent=self._epoch + exchange.sent_at,
            first_token=None if exchange.first_token_at is None else self._epoch + exchange.first_token_at,
            done=self._epoch + exchange.done_at,
            usage=usage,
            cost_usd=work.cost_usd,
            extra_usd=work.extra_usd,
            response=response,
            tier=(reply.tier if reply else None) or (STANDARD if work.fell_back else None),
            answer=None if reply is None or response is None or error is not None else answer_within(reply, response),
        )

    def _journal(self, work: Work) -> JournalWriter:
        return self._journals[work.task.variant]

    def _count(self, work: Work, outcome: Outcome) -> None:
        """Count an outcome that is in its journal."""
        tally = self.tallies[work.task.variant]
        count(tally, outcome)
        self._costs.recorded((outcome.cost_usd or 0.0) + outcome.extra_usd)
        work.is_recorded = True
        tally.again -= work.is_again
        if work.replaces is not None:
            uncount_failure(tally, work.replaces)
        if work.previous == "ok":
            tally.kept_ok -= 1
        elif work.previous == "failed":
            tally.kept_failed -= 1


def _line(outcome: Outcome) -> tuple[Outcome, bytes]:
    """Return the outcome with its journal line; one that cannot be written becomes a failure, so that the others of its batch are kept."""
    try:
        # A response is kept only when its reply was read: it is JSON.
        return outcome, encode(outcome, is_json=True)
    except Exception as error:  # noqa: BLE001 - no answer may take those beside it along
        message = f"{type(error).__name__} while the outcome was written: this is a bug in promptmill"
        info = ErrorInfo(ErrorKind.PROTOCOL, "unexpected", message, outcome.http_status)
        failed = replace(outcome, error=info, finish_reason=None, usage=None, response=None)
        return failed, encode(failed)


def uncount_failure(tally: Tally, code: str) -> None:
    """Take back a failure of this session that another outcome of the same task has replaced."""
    tally.failed -= 1
    tally.failures[code] = tally.failures.get(code, 0) - 1
    if not tally.failures[code]:
        del tally.failures[code]


def count(tally: Tally, outcome: Outcome) -> None:
    """Add an outcome."""
    if outcome.error is not None:
        tally.failed += 1
        tally.failures[outcome.error.code] = tally.failures.get(outcome.error.code, 0) + 1
    else:
        tally.ok += 1
        tally.truncated += outcome.finish_reason == "length"
        tally.filtered += outcome.finish_reason == "content_filter"
        tally.unknown_endings += is_unknown_ending(outcome.finish_reason, outcome.api)
    tally.copies += outcome.copy_of is not None
    usage = outcome.usage
    if usage:
        tally.prompt_tokens += usage.get("prompt_tokens") or 0
        tally.completion_tokens += usage.get("completion_tokens") or 0
    tally.extra_usd += outcome.extra_usd
    if outcome.cost_usd is not None:
        tally.cost_usd += outcome.cost_usd
        tally.priced += 1
