"""Turns rows into work: the requests that are still to be sent.

Runs in a worker thread, one batch at a time; nothing here touches the event loop.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, Protocol

from batch.engine.prefix_order import in_prefix_order
from batch.engine.threads import in_threads
from batch.engine.work import Work
from batch.errors import RowError, describe_bug
from batch.events import UnexpectedError
from batch.journal.done import DoneTasks, Finished
from batch.journal.index import IndexEntry
from batch.journal.lines import task_hash, task_hashes
from batch.prompts import RequestBuilder
from batch.prompts.templates import row_place
from batch.readers.record import FinishedRows, RowFilter
from batch.readers.rows import in_batches
from batch.record_class import record_class
from batch.records import BadRow, ErrorInfo, ErrorKind, Outcome, Request, Row, Task
from batch.settings import RowOrder

# Rows searched for an answered task to test an endpoint with; usually the first one has it.
FIRST_BATCHES = 4

ChangedPolicy = Literal["refuse", "rerun", "keep"]


class Lookup(Protocol):
    """A journal's records of tasks."""

    def __len__(self) -> int:
        """Return an upper bound of the tasks with a record."""

    def final(self, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
        """Return for each task whether it has a completion, or, `with_failures`, any outcome."""

    def lookup(self, task_hashes: Sequence[int]) -> list[IndexEntry | None]:
        """Return each task's record; None without one. Faster for many tasks at once."""


class RowSource(Protocol):
    """The rows of a dataset, or a part of them."""

    def batches(self, *, wanted: RowFilter | None = None, finished: FinishedRows | None = None) -> Iterator[list[Row | BadRow]]:
        """Yield the rows in batches; those that are not `wanted` may be skipped, those that are `finished` are."""


class Source(Protocol):
    """A source of one endpoint's work."""

    def batches(self) -> Iterator[Sequence[Work | Unsendable | Copied]]:
        """Yield the work to send (or to journal unsent), batch by batch."""

    def answered(self) -> Sequence[Task]:
        """Return a task of each variant that an earlier session answered, if one is found soon."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One variant's share of the work: how its requests are built, and its journal's records.

    These are found by the tasks' hashes, or by ordinal where job and input are those whose rows were sent.
    """

    variant: str
    builder: RequestBuilder
    index: Lookup | DoneTasks


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Work that cannot be sent, and why; `bug` where promptmill is at fault."""

    work: Work
    error: ErrorInfo
    bug: UnexpectedError | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """Work that is done: another task with an equal request has this outcome."""

    work: Work
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Selects the tasks of a row to send.

    `by_id` names tasks by the rows' ids, not by their ordinals. `compare` rebuilds the requests of finished rows too, to see whether they
    changed. `changed`: how to treat answers whose request changed. `retry_failed`: send failed rows again; `retried`: those with these ids.
    """

    repeats: int = 1
    by_id: bool = False
    compare: bool = False
    changed: ChangedPolicy = "refuse"
    retry_failed: bool = False
    retried: frozenset[str] = frozenset()
    order: RowOrder = "input"

    def retries(self, name: str) -> bool:
        """Return whether a failed row with this id is sent again."""
        return self.retry_failed or name in self.retried


class DuplicateFilter(Protocol):
    """Selects the work of a variant to send now, and defers the rest."""

    def filter(self, works: Sequence[Work]) -> list[Work]:
        """Return the work to send now."""


@record_class(frozen=True, slots=True)
class Candidate:
    """A task as the input has it now, with its journal record."""

    task: Task
    error: ErrorInfo | None
    entry: IndexEntry | None
    bug: UnexpectedError | None = None

    @property
    def changed(self) -> bool:
        """Whether this task's journal record is of another request. An empty key says that nothing can have changed."""
        return self.entry is not None and self.entry.key not in (b"", self.task.request.key[:8])


class Feed:
    """The work of one endpoint's variants.

    `duplicate_filters` are by variant; the caller sends what they keep. `skipped` are variants that need no more work; it may grow while
    the rows are read.
    """

    def __init__(
        self,
        dataset: RowSource,
        plans: Sequence[Plan],
        options: FeedOptions,
        *,
        duplicate_filters: Mapping[str, DuplicateFilter] | None = None,
        skipped: Container[str] = frozenset(),
    ) -> None:
        self._dataset = dataset
        self._plans = plans
        self._options = options
        self._duplicate_filters = duplicate_filters or {}
        self._skipped = skipped

    def batches(self) -> Iterator[list[Work | Unsendable]]:
        """Yield the work to send (or, if that is impossible, to journal as failed), batch by batch, in input order or by beginnings."""
        return in_prefix_order(self._in_input_order()) if self._options.order == "prefix" else self._in_input_order()

    def _in_input_order(self) -> Iterator[list[Work | Unsendable]]:
        for candidates in self.candidates(skip_finished=not self._options.compare):
            works = [_work(candidate) for candidate in candidates if self.wants(candidate)]
            yield self._filtered(works) if self._duplicate_filters else works

    def answered(self) -> Sequence[Task]:
        """Return a task of each variant, among the first rows, that an earlier session answered with its present request."""
        wanted = {plan.variant for plan in self._plans if len(plan.index)}
        found: dict[str, Task] = {}
        for candidates in islice(self.candidates() if wanted else (), FIRST_BATCHES):
            for candidate in candidates:
                entry = candidate.entry
                if entry is not None and entry.ok and not candidate.changed and candidate.error is None:
                    found.setdefault(candidate.task.variant, candidate.task)
            if found.keys() >= wanted:
                break
        return list(found.values())

    def candidates(self, *, skip_finished: bool = False) -> Iterator[list[Candidate]]:
        """Yield all tasks of the input, batch by batch; `skip_finished`: without those that are final in the journal."""
        # Rows that are retried are final for the journals: all rows are read.
        looks = skip_finished and not self._options.retried and any(len(plan.index) for plan in self._plans)
        finished = self._finished() if looks else None
        for rows in self._dataset.batches(wanted=self._unfinished if looks and finished is None else None, finished=finished):
            plans = self._wanted_plans()
            if not plans:
                return
            batch: list[Candidate] = []
            for plan in plans:
                if plan.builder.reads_files:
                    yield from in_batches(self._with_files(plan, rows, skip_finished), len(rows) * self._options.repeats)
                else:
                    batch += self._of_plan(plan, rows, skip_finished)
            # Also an empty one: it lets the caller do other work while many finished rows pass.
            yield batch

    def _wanted_plans(self) -> list[Plan]:
        return [plan for plan in self._plans if plan.variant not in self._skipped]

    def _finished(self) -> Finished | None:
        """Return the rows that need no more work; None where they must be looked up by their hashes."""
        indexes = [plan.index for plan in self._wanted_plans()]
        done = [index for index in indexes if isinstance(index, DoneTasks)]
        if not done or len(done) < len(indexes):
            return None
        return Finished.of_all([index.finished(self._options.repeats, with_failures=not self._options.retry_failed) for index in done])

    def _unfinished(self, ids: Sequence[str]) -> list[bool]:
        """Return for each row whether a journal lacks one of its tasks."""
        hashes = [task_hashes(ids, repeat) for repeat in range(self._options.repeats)]
        indexes = [plan.index for plan in self._wanted_plans() if not isinstance(plan.index, DoneTasks)]
        finals = [index.final(each, with_failures=not self._options.retry_failed) for index in indexes for each in hashes]
        return [False] * len(ids) if not finals else [not all(of_row) for of_row in zip(*finals, strict=True)]

    def _of_plan(self, plan: Plan, rows: Sequence[Row | BadRow], skip_finished: bool) -> Iterator[Candidate]:
        repeats = range(self._options.repeats)
        entries = self._entries(plan.index, rows)
        for row in rows:
            request: Request | None = None
            error: ErrorInfo | None = None
            bug: UnexpectedError | None = None
            for repeat in repeats:
                entry = next(entries)
                if skip_finished and entry is not None and (entry.ok or not self._options.retries(row.id)):
                    continue
                if request is None:
                    request, error, bug = row_request(plan.builder, row)
                yield Candidate(Task(row.ordinal, row.id, plan.variant, repeat, request), error, entry, bug)

    def _with_files(self, plan: Plan, rows: Sequence[Row | BadRow], skip_finished: bool) -> Iterator[tuple[Candidate, int]]:
        """Yield what `_of_plan` does, with its bytes, of rows whose files are read several at a time, no further ahead than is asked."""
        entries = self._entries(plan.index, rows)
        wanted: list[tuple[Row | BadRow, list[tuple[int, IndexEntry | None]]]] = []
        for row in rows:
            of_row = list(enumerate(islice(entries, self._options.repeats)))
            if skip_finished:
                of_row = [(repeat, entry) for repeat, entry in of_row if entry is None or (self._options.retries(row.id) and not entry.ok)]
            if of_row:
                wanted.append((row, of_row))
        requests = in_threads(partial(row_request, plan.builder), [row for row, _ in wanted])
        for (row, of_row), (request, error, bug) in zip(wanted, requests, strict=True):
            for each, entry in of_row:
                yield Candidate(Task(row.ordinal, row.id, plan.variant, each, request), error, entry, bug), len(request.body)

    def _entries(self, index: Lookup | DoneTasks, rows: Sequence[Row | BadRow]) -> Iterator[IndexEntry | None]:
        """Iterate over the records of all rows, per row those of its repeats."""
        repeats = range(self._options.repeats)
        if not isinstance(index, DoneTasks):
            return iter(index.lookup([self._hash(row, repeat) for row in rows for repeat in repeats]))
        ordinals = [row.ordinal for row in rows]
        columns = [index.entries(ordinals, repeat) for repeat in repeats]
        return (entry for of_row in zip(*columns, strict=True) for entry in of_row)

    def _filtered(self, items: Sequence[Work | Unsendable]) -> list[Work | Unsendable]:
        """Return what the filters let pass, in its order: a model that has no filter does not go before the others."""
        by_variant: dict[str, list[Work]] = {name: [] for name in self._duplicate_filters}
        for item in items:
            if isinstance(item, Work) and item.task.variant in by_variant:
                by_variant[item.task.variant].append(item)
        deferred = {id(work) for works in by_variant.values() for work in works}
        deferred -= {id(work) for variant, works in by_variant.items() for work in self._duplicate_filters[variant].filter(works)}
        return [item for item in items if id(item) not in deferred]

    def _hash(self, row: Row | BadRow, repeat: int) -> int:
        return task_hash(row.id if self._options.by_id else None, row.ordinal, repeat)

    def wants(self, candidate: Candidate) -> bool:
        """Return whether to send a task."""
        entry = candidate.entry
        if entry is None:
            return True
        if entry.ok:
            return candidate.changed and self._options.changed == "rerun"
        # A failure is not worth keeping: if its request changed, the new one is sent.
        return self._options.retries(candidate.task.id) or candidate.changed


def row_request(builder: RequestBuilder, row: Row | BadRow) -> tuple[Request, ErrorInfo | None, UnexpectedError | None]:
    """Return the request of a row, or the error if none can be sent, and the report of an exception that was not expected."""
    if isinstance(row, BadRow):
        return Request("chat/completions", b"", row.digest), ErrorInfo(ErrorKind.INPUT, row.code, row.message), None
    try:
        return builder.build(row), None, None
    except RowError as error:
        return Request("chat/completions", b"", bytes(16)), error.info, None
    except Exception as error:  # noqa: BLE001 - whatever a row holds ends at most that row
        problem = f"{type(error).__name__} while its request was made: this is a bug in promptmill"
        info = ErrorInfo(ErrorKind.INPUT, "bad_row", f"{row_place(row)}: {problem}")
        return Request("chat/completions", b"", bytes(16)), info, UnexpectedError(problem, describe_bug(error))


def _work(candidate: Candidate) -> Work | Unsendable:
    entry = candidate.entry
    work = Work(candidate.task, previous=None if entry is None else "ok" if entry.ok else "failed")
    return work if candidate.error is None else Unsendable(work, candidate.error, candidate.bug)
