"""Writes a worker's journals, one for each lease, and finds the leases whose rows all have a durable outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.recorder import Recorder, count, uncount_failure
from batch.engine.work import Work, rows_of
from batch.errors import StorageError
from batch.executors.workers.messages import Example, Lease, LeaseKey
from batch.journal.object_writer import MAX_PENDING_BYTES
from batch.journal.writer import LeasedJournalWriter, PendingOutcomes
from batch.records import Outcome
from batch.settings import Variant
from batch.tally import Tally

EXAMPLES = 20


class LeaseJournals:
    """The journals of one lease, by variant. `fed` tasks were given to the engine; `settled` of them have their outcome.

    A task whose variant is not sent any more counts as settled too.

    `is_read` is set when all rows have been read. The feed's thread writes `fed` and then `is_read`, the event loop the rest.
    """

    def __init__(self, lease: Lease, journals: Mapping[str, LeasedJournalWriter]) -> None:
        self.lease = lease
        self.journals = journals
        self.fed = 0
        self.settled = 0
        self.is_read = False

    @property
    def is_settled(self) -> bool:
        """Whether all tasks have their outcome, or get none."""
        return self.is_read and self.settled == self.fed

    @property
    def is_done(self) -> bool:
        """Whether the outcomes of all tasks that get one are durable on disk or on the store."""
        return self.is_settled and all(journal.is_durable for journal in self.journals.values())

    @property
    def written(self) -> dict[str, tuple[int, int]]:
        """The end of each journal: (number of the file in the lease, bytes in it)."""
        return {variant: journal.appended_bytes for variant, journal in self.journals.items()}

    @property
    def in_memory(self) -> dict[str, PendingOutcomes]:
        """The outcomes of each journal that are in memory only, where there are any."""
        pending = ((variant, journal.pending) for variant, journal in self.journals.items() if not journal.is_durable)
        return {variant: outcomes for variant, outcomes in pending if outcomes is not None}


class LeaseRecorder(Recorder):
    """Records the outcomes of one queue, each in the journal of its lease; `open_journal` opens that of a variant."""

    def __init__(
        self,
        variants: Sequence[Variant],
        open_journal: Callable[[Variant, Lease], LeasedJournalWriter],
        tallies: Mapping[str, Tally],
        clock: Clock,
        costs: Costs,
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__({}, tallies, clock, costs)
        self._on_failure = on_failure
        self._variants = variants
        self._open_journal = open_journal
        self._lease_journals: dict[int, LeaseJournals] = {}
        self._durable = dict.fromkeys((variant.name for variant in variants), 0)
        self.examples: list[Example] = []
        self._files: dict[LeaseKey, dict[str, int]] = {}

    def open(self, lease: Lease) -> LeaseJournals:
        """Open the journals of a lease."""
        journals = {variant.name: self._open_journal(variant, lease) for variant in self._variants}
        lease_journals = self._lease_journals[lease.shard.number] = LeaseJournals(lease, journals)
        return lease_journals

    @property
    def written(self) -> dict[LeaseKey, dict[str, tuple[int, int]]]:
        """The end of the journals of all open leases."""
        return {lease_journals.lease.key: lease_journals.written for lease_journals in self._lease_journals.values()}

    @property
    def in_memory(self) -> dict[LeaseKey, dict[str, PendingOutcomes]]:
        """The outcomes of all open leases that are in memory only."""
        return {
            lease_journals.lease.key: in_memory
            for lease_journals in self._lease_journals.values()
            if (in_memory := lease_journals.in_memory)
        }

    async def sync(self, variant: str | None = None, *, due: bool = False) -> None:
        """Make recorded outcomes durable, of one variant or of all; with `due`, only of journals that are due. Raises StorageError.

        A lease is due when all its tasks have their outcome: it can be reported as done then.
        """
        self.flush()
        wanted = [
            journal
            for lease_journals in self._lease_journals.values()
            for name, journal in lease_journals.journals.items()
            if (variant is None or name == variant) and not journal.is_durable and (not due or journal.is_due or lease_journals.is_settled)
        ]
        refusals: list[StorageError] = []
        async with anyio.create_task_group() as group:
            # Concurrently: each sync of a store takes a while.
            for journal in wanted:
                group.start_soon(_sync, journal, refusals)
        self._count_durable()
        if refusals:
            raise refusals[0]

    def is_behind(self, variant: str) -> bool:
        """Whether too many outcomes of a variant wait to become durable, or wait too long, to send more."""
        journals = [each.journals[variant] for each in self._lease_journals.values()]
        return sum(journal.pending_bytes for journal in journals) >= MAX_PENDING_BYTES or any(journal.is_behind for journal in journals)

    def take_done(self) -> list[LeaseKey]:
        """Return the leases finished since the last call, and close their files."""
        done = [lease_journals for lease_journals in self._lease_journals.values() if lease_journals.is_done]
        for lease_journals in done:
            self._files[lease_journals.lease.key] = {name: number for name, (number, _) in lease_journals.written.items()}
            del self._lease_journals[lease_journals.lease.shard.number]
            for name, journal in lease_journals.journals.items():
                self._durable[name] += journal.durable
                journal.close()
        return [lease_journals.lease.key for lease_journals in done]

    def take_files(self, key: LeaseKey) -> Mapping[str, int]:
        """Return, once, the first of the two numbers of `written` for each journal of a finished lease."""
        return self._files.pop(key, {})

    def take_examples(self) -> tuple[Example, ...]:
        """Return failed rows that were not reported yet."""
        examples, self.examples = tuple(self.examples), []
        return examples

    def dropped(self, work: Work) -> None:
        """Wait no longer for an outcome of `work`: its lease can be done without."""
        self._lease_journals[work.shard].settled += rows_of(work)

    def give_up(self) -> None:
        """Wait for no more outcomes of the open leases: they are done when what they have is durable."""
        for lease_journals in self._lease_journals.values():
            lease_journals.settled, lease_journals.is_read = lease_journals.fed, True

    def close(self) -> None:
        """Close all files."""
        for lease_journals in self._lease_journals.values():
            for journal in lease_journals.journals.values():
                journal.close()

    def _count_durable(self) -> None:
        for variant in self._variants:
            still_open = sum(lease_journals.journals[variant.name].durable for lease_journals in self._lease_journals.values())
            self.tallies[variant.name].durable = self._durable[variant.name] + still_open

    def _journal(self, work: Work) -> LeasedJournalWriter:
        return self._lease_journals[work.shard].journals[work.task.variant]

    def _count(self, work: Work, outcome: Outcome) -> None:
        super()._count(work, outcome)
        self._lease_journals[work.shard].settled += 1
        unflushed = self._journal(work).unflushed
        if unflushed is not None:
            _add_pending(unflushed, work, outcome)
        if outcome.error is not None:
            if len(self.examples) < EXAMPLES:
                self.examples.append(Example(work.task.variant, outcome.ordinal, outcome.id, outcome.error))
            if not self.tallies[work.task.variant].ok:
                # A faulty job should end soon, and only the coordinator knows whether other rows were answered.
                self._on_failure()


async def _sync(journal: LeasedJournalWriter, refusals: list[StorageError]) -> None:
    try:
        await journal.sync()
    except StorageError as error:
        refusals.append(error)


def _add_pending(pending: PendingOutcomes, work: Work, outcome: Outcome) -> None:
    """Count an outcome that is in memory only."""
    count(pending.counts, outcome)
    if work.replaces is not None:
        uncount_failure(pending.counts, work.replaces)
    pending.counts.again -= work.is_again
    pending.counts.kept_ok -= work.previous == "ok"
    pending.counts.kept_failed -= work.previous == "failed"
    pending.dollars += (outcome.cost_usd or 0.0) + outcome.extra_usd
