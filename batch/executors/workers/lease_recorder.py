"""A worker's journals: for each lease its own, and when all rows of a lease have their outcome, on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.limiter import Work
from batch.engine.recorder import Recorder, count
from batch.errors import StorageError
from batch.executors.workers.messages import Example, Lease, LeaseKey
from batch.journal.object_writer import MAX_PENDING_BYTES
from batch.journal.segments import SegmentName
from batch.journal.writer import LeasedJournalWriter, PendingOutcomes
from batch.records import Outcome, Tally
from batch.rundir.local import RunDirectory
from batch.settings import RunSettings, Variant

EXAMPLES = 20


class LeaseJournals:
    """The journals of one lease by variant. `fed` tasks were given to the engine, `settled` of them have their outcome.

    `is_read` is set when all its rows have been read. The feed's thread writes `fed` and then `is_read`, the event loop the rest.
    """

    def __init__(self, lease: Lease, journals: Mapping[str, LeasedJournalWriter]) -> None:
        self.lease = lease
        self.journals = journals
        self.fed = 0
        self.settled = 0
        self.is_read = False

    @property
    def is_settled(self) -> bool:
        """Whether all its tasks have their outcome."""
        return self.is_read and self.settled == self.fed

    @property
    def is_done(self) -> bool:
        """Whether all its tasks have their outcome, on disk or on the store."""
        return self.is_settled and all(journal.is_durable for journal in self.journals.values())

    @property
    def written(self) -> dict[str, tuple[int, int]]:
        """How far each journal is: (which file of the lease, bytes in it)."""
        return {variant: journal.appended_bytes for variant, journal in self.journals.items()}

    @property
    def held(self) -> dict[str, PendingOutcomes]:
        """What of each journal is in memory only, where there is anything."""
        pending = ((variant, journal.pending) for variant, journal in self.journals.items() if not journal.is_durable)
        return {variant: outcomes for variant, outcomes in pending if outcomes is not None}


class LeaseRecorder(Recorder):
    """Records the outcomes of one lane, each in the journal of its lease."""

    def __init__(
        self,
        variants: Sequence[Variant],
        directory: RunDirectory,
        numbers: Mapping[str, int],
        run: RunSettings,
        tallies: Mapping[str, Tally],
        clock: Clock,
        costs: Costs,
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__({}, tallies, clock, costs)
        self._on_failure = on_failure
        self._variants = variants
        self._directory = directory
        self._numbers = numbers
        self._run = run
        self._books: dict[int, LeaseJournals] = {}
        self._durable = dict.fromkeys(numbers, 0)
        self.examples: list[Example] = []

    def open(self, lease: Lease) -> LeaseJournals:
        """Begin to write for a lease."""
        journals = {}
        for variant in self._variants:
            name = SegmentName(self._numbers[variant.name], lease.shard.number, lease.generation)
            journals[variant.name] = self._directory.open_lease(variant.slug, name, self._run)
        book = self._books[lease.shard.number] = LeaseJournals(lease, journals)
        return book

    @property
    def written(self) -> dict[LeaseKey, dict[str, tuple[int, int]]]:
        """How far the journals of all open leases are."""
        return {book.lease.key: book.written for book in self._books.values()}

    @property
    def held(self) -> dict[LeaseKey, dict[str, PendingOutcomes]]:
        """What of the journals of all open leases is in memory only."""
        return {book.lease.key: held for book in self._books.values() if (held := book.held)}

    async def sync(self, variant: str | None = None, *, due: bool = False) -> None:
        """Make what was recorded durable, of one variant or of all; with `due`, of those whose time has come. Raises StorageError.

        The time of a lease has come when all its tasks have their outcome: it can be told to be done then.
        """
        self.flush()
        wanted = [
            journal
            for book in self._books.values()
            for name, journal in book.journals.items()
            if (variant is None or name == variant) and not journal.is_durable and (not due or journal.is_due or book.is_settled)
        ]
        refusals: list[StorageError] = []
        async with anyio.create_task_group() as group:
            # Side by side: a store takes its time for each.
            for journal in wanted:
                group.start_soon(_sync, journal, refusals)
        self._count_durable()
        if refusals:
            raise refusals[0]

    def is_behind(self, variant: str) -> bool:
        """Whether so much of a variant waits to become durable that nothing more should be sent before."""
        journals = [book.journals[variant] for book in self._books.values()]
        return sum(journal.pending_bytes for journal in journals) >= MAX_PENDING_BYTES or any(journal.is_behind for journal in journals)

    def take_done(self) -> list[LeaseKey]:
        """The leases that are done since this was last asked; their files are closed."""
        done = [book for book in self._books.values() if book.is_done]
        for book in done:
            del self._books[book.lease.shard.number]
            for name, journal in book.journals.items():
                self._durable[name] += journal.durable
                journal.close()
        return [book.lease.key for book in done]

    def take_examples(self) -> tuple[Example, ...]:
        """The failed rows that are to be told of."""
        examples, self.examples = tuple(self.examples), []
        return examples

    def close(self) -> None:
        """Give the files back."""
        for book in self._books.values():
            for journal in book.journals.values():
                journal.close()

    def _count_durable(self) -> None:
        for variant in self._variants:
            held = sum(book.journals[variant.name].durable for book in self._books.values())
            self.tallies[variant.name].durable = self._durable[variant.name] + held

    def _journal(self, work: Work) -> LeasedJournalWriter:
        return self._books[work.shard].journals[work.task.variant]

    def _count(self, work: Work, outcome: Outcome) -> None:
        super()._count(work, outcome)
        self._books[work.shard].settled += 1
        unflushed = self._journal(work).unflushed
        if unflushed is not None:
            _hold(unflushed, work, outcome)
        if outcome.error is not None:
            if len(self.examples) < EXAMPLES:
                self.examples.append(Example(work.task.variant, outcome.ordinal, outcome.id, outcome.error))
            if not self.tallies[work.task.variant].ok:
                # A job that is wrong is to end soon, and only the coordinator knows whether others have been answered.
                self._on_failure()


async def _sync(journal: LeasedJournalWriter, refusals: list[StorageError]) -> None:
    try:
        await journal.sync()
    except StorageError as error:
        refusals.append(error)


def _hold(held: PendingOutcomes, work: Work, outcome: Outcome) -> None:
    """Count an outcome that is in memory only."""
    count(held.counts, outcome)
    held.counts.kept_ok -= work.previous == "ok"
    held.counts.kept_failed -= work.previous == "failed"
    held.dollars += (outcome.cost_usd or 0.0) + outcome.extra_usd
