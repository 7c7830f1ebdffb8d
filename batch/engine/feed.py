"""Rows into work: what of the input is still to be sent, as requests.

Runs in a worker thread, one batch at a time; nothing here touches the event loop.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from batch.engine.work import Work
from batch.errors import RowError
from batch.journal.index import IndexEntry
from batch.journal.lines import task_hash, task_hashes
from batch.prompts import RequestBuilder
from batch.readers.record import RowFilter
from batch.records import BadRow, ErrorInfo, ErrorKind, Outcome, Request, Row, Task

# Where a task that was answered is looked for, to test an endpoint with; it is mostly the first.
FIRST_BATCHES = 4

ChangedPolicy = Literal["refuse", "rerun", "keep"]


class Lookup(Protocol):
    """What a journal holds of tasks."""

    def __len__(self) -> int:
        """Not more than of so many tasks."""

    def final(self, task_hashes: bytes, *, with_failures: bool) -> list[bool]:
        """Of each task whether it has a completion, or, `with_failures`, any outcome."""

    def lookup(self, task_hashes: Sequence[int]) -> list[IndexEntry | None]:
        """What it holds of each task; None for those without a record. Give many at once."""


class RowSource(Protocol):
    """The rows of a dataset, or a part of them."""

    def batches(self, *, wanted: RowFilter | None = None) -> Iterator[list[Row | BadRow]]:
        """The rows, some at a time; those that are not `wanted` may be skipped."""


class Source(Protocol):
    """Where the work of one endpoint comes from."""

    def batches(self) -> Iterator[Sequence[Work | Unsendable | Copied]]:
        """What is to be sent (or journaled without that), batch by batch."""

    def answered(self) -> Sequence[Task]:
        """A task of each variant that an earlier session answered, where one is found soon."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one variant: how its requests are built, and what its journal already holds."""

    variant: str
    builder: RequestBuilder
    index: Lookup


@dataclass(frozen=True, slots=True)
class Unsendable:
    """Work that cannot be sent, and why."""

    work: Work
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Copied:
    """Work that is done: another task's equal request has this outcome."""

    work: Work
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Which tasks of a row are wanted.

    `by_id` names tasks by the rows' ids, not by their ordinals. `compare` rebuilds the requests of finished rows too, to see whether they
    changed. `changed` says what becomes of answers whose request changed, `retry_failed` whether failed rows are sent again.
    """

    repeats: int = 1
    by_id: bool = False
    compare: bool = False
    changed: ChangedPolicy = "refuse"
    retry_failed: bool = False


class DuplicateFilter(Protocol):
    """What decides which work of a variant is sent now, and keeps the rest."""

    def filter(self, works: Sequence[Work]) -> list[Work]:
        """The work that is to be sent now."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task as the input has it now, beside what the journal knows of it."""

    task: Task
    error: ErrorInfo | None
    entry: IndexEntry | None

    @property
    def changed(self) -> bool:
        """Whether the journal holds an outcome of another request under this task."""
        return self.entry is not None and self.entry.key != self.task.request.key[:8]


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
        """What is to be sent (or, where that is impossible, journaled as failed), batch by batch in input order."""
        for candidates in self.candidates(skip_finished=not self._options.compare):
            works = [_work(candidate) for candidate in candidates if self.wants(candidate)]
            yield self._filtered(works) if self._duplicate_filters else works

    def answered(self) -> Sequence[Task]:
        """A task of each variant that an earlier session answered with the request that it has now, among the first rows."""
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
        """All tasks of the input, batch by batch; with `skip_finished` without those that the journal has as final."""
        looks = skip_finished and any(len(plan.index) for plan in self._plans)
        for rows in self._dataset.batches(wanted=self._unfinished if looks else None):
            plans = self._wanted_plans()
            if not plans:
                return
            batch: list[Candidate] = []
            for plan in plans:
                batch += self._of_plan(plan, rows, skip_finished)
            yield batch

    def _wanted_plans(self) -> list[Plan]:
        return [plan for plan in self._plans if plan.variant not in self._skipped]

    def _unfinished(self, ids: Sequence[str]) -> list[bool]:
        """Of each row whether the journals lack something of it."""
        hashes = [task_hashes(ids, repeat) for repeat in range(self._options.repeats)]
        plans = self._wanted_plans()
        finals = [plan.index.final(each, with_failures=not self._options.retry_failed) for plan in plans for each in hashes]
        return [False] * len(ids) if not finals else [not all(of_row) for of_row in zip(*finals, strict=True)]

    def _of_plan(self, plan: Plan, rows: Sequence[Row | BadRow], skip_finished: bool) -> Iterator[Candidate]:
        repeats = range(self._options.repeats)
        entries = iter(plan.index.lookup([self._hash(row, repeat) for row in rows for repeat in repeats]))
        for row in rows:
            request: Request | None = None
            error: ErrorInfo | None = None
            for repeat in repeats:
                entry = next(entries)
                if skip_finished and entry is not None and (entry.ok or not self._options.retry_failed):
                    continue
                if request is None:
                    request, error = row_request(plan.builder, row)
                yield Candidate(Task(row.ordinal, row.id, plan.variant, repeat, request), error, entry)

    def _filtered(self, items: Sequence[Work | Unsendable]) -> list[Work | Unsendable]:
        by_variant: dict[str, list[Work]] = {}
        kept: list[Work | Unsendable] = []
        for item in items:
            if isinstance(item, Work) and item.task.variant in self._duplicate_filters:
                by_variant.setdefault(item.task.variant, []).append(item)
            else:
                kept.append(item)
        for variant, works in by_variant.items():
            kept += self._duplicate_filters[variant].filter(works)
        return kept

    def _hash(self, row: Row | BadRow, repeat: int) -> int:
        return task_hash(row.id if self._options.by_id else None, row.ordinal, repeat)

    def wants(self, candidate: Candidate) -> bool:
        """Whether a task is to be sent."""
        entry = candidate.entry
        if entry is None:
            return True
        if entry.ok:
            return candidate.changed and self._options.changed == "rerun"
        # A failure cost nothing that is worth keeping: when its request changed, the new one is tried.
        return self._options.retry_failed or candidate.changed


def row_request(builder: RequestBuilder, row: Row | BadRow) -> tuple[Request, ErrorInfo | None]:
    """The request of a row, and why there is none that can be sent."""
    if isinstance(row, BadRow):
        return Request("chat/completions", b"", row.digest), ErrorInfo(ErrorKind.INPUT, row.code, row.message)
    try:
        return builder.build(row), None
    except RowError as error:
        return Request("chat/completions", b"", bytes(16)), error.info


def _work(candidate: Candidate) -> Work | Unsendable:
    entry = candidate.entry
    work = Work(candidate.task, previous=None if entry is None else "ok" if entry.ok else "failed")
    return work if candidate.error is None else Unsendable(work, candidate.error)
