"""Sends one of several equal requests, and copies its outcome to the others once it is in the journal.

A run with duplicates has three rounds. Round 1 sends the first of equal requests and defers the others. Round 2 copies the outcomes;
where the sent one failed through no fault of the request, the next is sent in its place. Round 3 sends the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from batch.engine.feed import Copied, Plan, RowSource, Unsendable, row_request
from batch.engine.work import Work
from batch.journal.index import ResumeIndex
from batch.journal.keys import KeySet
from batch.journal.reading import RecordReader
from batch.policy.dedupe import is_repeatable, shares_outcome
from batch.records import BadRow, Outcome, Row, Task
from batch.settings import Variant

_PREVIOUS = (None, "ok", "failed")


class Duplicates:
    """The equal requests of one variant: 8 bytes for each request, and 8 more for each that is deferred."""

    def __init__(self, variant: Variant, keys: KeySet) -> None:
        self._variant = variant
        self._keys = keys
        self._deferred = array("Q")

    def __len__(self) -> int:
        return len(self._deferred)

    @property
    def is_full(self) -> bool:
        """Whether the limit of remembered requests is reached: later ones are not remembered."""
        return self._keys.is_full

    def deferred(self) -> Iterator[tuple[int, str | None]]:
        """Return the deferred rows in input order, each with its task's state before this session: ok, failed or None."""
        return ((each >> 2, _PREVIOUS[each & 3]) for each in self._deferred)

    def filter(self, works: Sequence[Work]) -> list[Work]:
        """Return the work to send now and defer the rest. `works` are all of this variant, in input order."""
        repeatable = [is_repeatable(self._variant, work.task.request) for work in works]
        known = iter(self._keys.add([work.task.request.key for work, may in zip(works, repeatable, strict=True) if may]))
        now = []
        for work, may in zip(works, repeatable, strict=True):
            if may and next(known):
                # One number of 64 bits a row: the state before this session is in the two lowest.
                self._deferred.append(work.task.ordinal << 2 | _PREVIOUS.index(work.previous))
            else:
                now.append(work)
        return now


class Deferred:
    """The work that an earlier round deferred, as the source of this round. `load` gives the index of a variant's journal as it is now.

    The `last` round defers nothing.
    """

    def __init__(
        self,
        dataset: RowSource,
        plans: Sequence[Plan],
        variants: Mapping[str, Variant],
        before: Mapping[str, Duplicates],
        load: Callable[[str], ResumeIndex],
        *,
        last: bool,
    ) -> None:
        self._dataset = dataset
        self._plans = [plan for plan in plans if len(before.get(plan.variant, ()))]
        self._before = before
        self._load = load
        self.duplicates = {} if last else {plan.variant: Duplicates(variants[plan.variant], KeySet()) for plan in self._plans}

    def answered(self) -> Sequence[Task]:
        """Return nothing: the previous round has sent what there was to send."""
        return ()

    def batches(self) -> Iterator[list[Work | Unsendable | Copied]]:
        """Yield copies of outcomes, and the work that has none to copy."""
        with ExitStack() as stack:
            waiting = [_Waiting(plan, self._before[plan.variant], self._load(plan.variant), stack) for plan in self._plans]
            # Requests with files are large: as few of them as may be are made at a time.
            one_by_one = any(plan.builder.reads_files for plan in self._plans)
            for rows in self._dataset.batches():
                for portion in [[row] for row in rows] if one_by_one else [rows]:
                    yield [item for each in waiting for item in self._settled(each, portion)]

    def _settled(self, waiting: _Waiting, rows: Sequence[Row | BadRow]) -> Iterator[Work | Unsendable | Copied]:
        variant = waiting.plan.variant
        works, refused = waiting.works(rows)
        yield from refused
        left: list[Work] = []
        for work, outcome in zip(works, waiting.outcomes(works), strict=True):
            if outcome is not None and shares_outcome(outcome, work.task.request):
                yield Copied(work, outcome)
            else:
                left.append(work)
        yield from self.duplicates[variant].filter(left) if variant in self.duplicates else left


class _Waiting:
    """The deferred rows of one variant, and its journal, which is searched for outcomes of their requests."""

    def __init__(self, plan: Plan, duplicates: Duplicates, index: ResumeIndex, stack: ExitStack) -> None:
        self.plan = plan
        self._index = index
        self._reader = stack.enter_context(RecordReader(index.segments))
        self._deferred = duplicates.deferred()
        self._next = next(self._deferred, None)

    def works(self, rows: Sequence[Row | BadRow]) -> tuple[list[Work], list[Unsendable]]:
        """Return those of `rows` that were deferred, as work. One is refused only if the input changed during the run."""
        works: list[Work] = []
        refused: list[Unsendable] = []
        for row in rows:
            if self._next is None or self._next[0] != row.ordinal:
                continue
            request, error, bug = row_request(self.plan.builder, row)
            work = Work(Task(row.ordinal, row.id, self.plan.variant, 0, request), previous=self._next[1])
            if error is None:
                works.append(work)
            else:
                refused.append(Unsendable(work, error, bug))
            self._next = next(self._deferred, None)
        return works, refused

    def outcomes(self, works: Sequence[Work]) -> list[Outcome | None]:
        """Return for each work the outcome of a task whose request is probably equal."""
        return self._reader.read(self._index.find_requests([work.task.request.key for work in works]))
