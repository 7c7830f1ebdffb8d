"""Rows into work: what of the input is still to be sent, as requests.

Runs in a worker thread, one batch at a time; nothing here touches the event loop.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from batch.engine.limiter import Work
from batch.errors import RowError
from batch.journal.index import IndexEntry
from batch.journal.lines import task_hash, task_hashes
from batch.prompts import RequestBuilder
from batch.readers.record import RowFilter
from batch.records import BadRow, ErrorInfo, ErrorKind, Outcome, Request, Row, Task

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
        """The rows, some at a time; those that are not `wanted` may be left out."""


class Source(Protocol):
    """Where the work of one endpoint comes from."""

    def batches(self) -> Iterator[Sequence[Work | Unsendable | Copied]]:
        """What is to be sent (or journaled without that), batch by batch."""


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
    """The work of one endpoint's variants. `compare` rebuilds the requests of finished rows too, to see whether they changed.

    `sieves` are by variant; what they keep is left to who gave them. `left_out` are variants of which nothing more is wanted; it may grow
    while the rows are read.
    """

    def __init__(
        self,
        dataset: RowSource,
        plans: Sequence[Plan],
        *,
        repeats: int,
        by_id: bool,
        compare: bool,
        changed: ChangedPolicy,
        retry_failed: bool,
        duplicate_filters: Mapping[str, DuplicateFilter] | None = None,
        left_out: Container[str] = frozenset(),
    ) -> None:
        self._dataset = dataset
        self._plans = plans
        self._repeats = repeats
        self._by_id = by_id
        self._compare = compare
        self._changed = changed
        self._retry_failed = retry_failed
        self._duplicate_filters = duplicate_filters or {}
        self._left_out = left_out

    def batches(self) -> Iterator[list[Work | Unsendable]]:
        """What is to be sent (or, where that is impossible, journaled as failed), batch by batch in input order."""
        for candidates in self.candidates(skip_finished=not self._compare):
            works = [_work(candidate) for candidate in candidates if self.wants(candidate)]
            yield self._filtered(works) if self._duplicate_filters else works

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
        return [plan for plan in self._plans if plan.variant not in self._left_out]

    def _unfinished(self, ids: Sequence[str]) -> list[bool]:
        """Of each row whether the journals lack something of it."""
        hashes = [task_hashes(ids, repeat) for repeat in range(self._repeats)]
        plans = self._wanted_plans()
        finals = [plan.index.final(each, with_failures=not self._retry_failed) for plan in plans for each in hashes]
        return [False] * len(ids) if not finals else [not all(of_row) for of_row in zip(*finals, strict=True)]

    def _of_plan(self, plan: Plan, rows: Sequence[Row | BadRow], skip_finished: bool) -> Iterator[Candidate]:
        repeats = range(self._repeats)
        entries = iter(plan.index.lookup([self._hash(row, repeat) for row in rows for repeat in repeats]))
        for row in rows:
            request: Request | None = None
            error: ErrorInfo | None = None
            for repeat in repeats:
                entry = next(entries)
                if skip_finished and entry is not None and (entry.ok or not self._retry_failed):
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
        return task_hash(row.id if self._by_id else None, row.ordinal, repeat)

    def wants(self, candidate: Candidate) -> bool:
        """Whether a task is to be sent."""
        entry = candidate.entry
        if entry is None:
            return True
        if entry.ok:
            return candidate.changed and self._changed == "rerun"
        # A failure cost nothing that is worth keeping: when its request changed, the new one is tried.
        return self._retry_failed or candidate.changed


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
