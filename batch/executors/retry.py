"""Finds the failed tasks of rows that the user wants sent again while the run goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from batch.engine.feed import Candidate, Feed, FeedOptions, Plan, row_request
from batch.errors import DamagedError, InputError, StorageError
from batch.executors.context import PreparedRun
from batch.journal.done import DoneTasks
from batch.journal.index import IndexEntry, ResumeIndex
from batch.journal.lines import task_hash
from batch.journal.reading import RecordReader
from batch.records import BadRow, Row, Task

NAMED = 5


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task whose newest outcome is an error; `code` is that of an error of this session, None for one of an earlier session."""

    task: Task
    code: str | None


@dataclass(slots=True)
class Found:
    """The failed tasks of the rows, and why others are not sent again."""

    failed: list[FailedTask] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_failed(prepared: PreparedRun, plans: Sequence[Plan], options: FeedOptions, ids: Sequence[str], began: float) -> Found:
    """Look up the rows with these ids (places, where there is no id column) in input and journals. Blocks; raises nothing.

    `began` is when this session began, in seconds since the epoch: later failures are its own.
    """
    found = Found()
    try:
        rows = _rows(prepared, ids)
        missing = [name for name in ids if name not in rows]
        if missing:
            found.problems.append(f"the input has no row with the id {_named(missing)}")
        for plan in plans:
            _look_up(prepared, plan, options, [rows[name] for name in ids if name in rows], found, began)
    except (InputError, DamagedError, StorageError, OSError) as error:
        found.problems.append(f"the rows cannot be looked up: {error}")
    return found


def _rows(prepared: PreparedRun, ids: Sequence[str]) -> dict[str, Row | BadRow]:
    wanted = set(ids)
    rows: dict[str, Row | BadRow] = {}
    for batch in prepared.dataset.batches(wanted=lambda names: [name in wanted for name in names]):
        rows |= {row.id: row for row in batch if row.id in wanted}
        if len(rows) == len(wanted):
            break
    return rows


def _look_up(prepared: PreparedRun, plan: Plan, options: FeedOptions, rows: Sequence[Row | BadRow], found: Found, began: float) -> None:
    slug = next(variant.slug for variant in prepared.job.variants if variant.name == plan.variant)
    index, before = ResumeIndex.load(prepared.directory.journal_dir(slug)), prepared.indexes[plan.variant]
    feed = Feed(prepared.dataset, (), options)
    skipped: dict[str, list[str]] = {}
    with RecordReader(index.segments) as reader:
        for row, repeat in ((row, repeat) for row in rows for repeat in range(options.repeats)):
            number = task_hash(row.id if options.by_id else None, row.ordinal, repeat)
            (entry,), (place,) = index.lookup([number]), index.locate([number])
            (earlier,) = before.entries([row.ordinal], repeat) if isinstance(before, DoneTasks) else before.lookup([number])
            (outcome,) = reader.read([place]) if entry is not None and not entry.ok else (None,)
            is_new = earlier is None or (outcome is not None and outcome.done is not None and outcome.done >= began)
            request, error, _ = row_request(plan.builder, row)
            task = Task(row.ordinal, row.id, plan.variant, repeat, request)
            why = _why_not(entry, is_sent=not is_new and feed.wants(Candidate(task, error, earlier)))
            if why is None and error is not None:
                why = f"cannot become a request: {error.message}"
            if why is not None:
                skipped.setdefault(why, []).append(row.id)
                continue
            code = outcome.error.code if is_new and outcome is not None and outcome.error is not None else None
            found.failed.append(FailedTask(task, code))
    found.problems += _sentences(plan.variant, skipped, several=len(prepared.job.variants) > 1)


def _why_not(entry: IndexEntry | None, *, is_sent: bool) -> str | None:
    if entry is None:
        return "not finished yet"
    if entry.ok:
        return "answered; only failed rows are sent again"
    return "sent again by this session in any case" if is_sent else None


def _sentences(variant: str, skipped: dict[str, list[str]], *, several: bool) -> Iterator[str]:
    for why, ids in skipped.items():
        of = f" of {variant}" if several else ""
        yield f"{'row' if len(ids) == 1 else 'rows'} {_named(list(dict.fromkeys(ids)))}{of}: {why}"


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return ", ".join(name[:80] for name in ids[:NAMED]) + more
