"""One row of a run with all that is known of it: its input, its requests, each attempt, and the outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from batch.errors import InputError, RowError, StorageError
from batch.journal.attempts import FailedAttempt, read_attempts
from batch.journal.index import ResumeIndex
from batch.journal.lines import task_hash
from batch.journal.reading import RecordReader
from batch.readers.builders import request_builder
from batch.records import BadRow, Outcome, Request, Row
from batch.results.readable import answer_text, first_token_seconds, seconds
from batch.rundir.running import live_states
from batch.rundir.stored_run import StoredRun
from batch.rundir.watch_folder import fetched_watch_folder
from batch.settings import Variant
from batch.writers.values import json_bytes, parsed_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A task of the row. `request` is what would be sent today, `is_changed` says that the outcome is of another request.

    `attempts` are the failed ones that are kept; `in_flight` is the present attempt, if there is one.
    """

    variant: Variant
    repeat: int
    request: Request | None
    request_error: str | None
    attempts: Sequence[FailedAttempt]
    outcome: Outcome | None
    in_flight: dict[str, Any] | None

    @property
    def is_changed(self) -> bool:
        """Whether the outcome is of another request than that of today's job and input."""
        return self.outcome is not None and self.request is not None and self.request.key != self.outcome.key


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row: `row` is None where the input cannot be read any more, as `problem` says."""

    id: str
    ordinal: int
    row: Row | BadRow | None
    problem: str | None
    tasks: Sequence[ShownTask]


def show_row(run: StoredRun, name: str) -> ShownRow | None:
    """Show the row whose id is `name`, or, where no row has that id, the one whose ordinal it is; None if there is none.

    Reads the input as far as the row. Raises DamagedError, StorageError.
    """
    run = run.without_limit().with_all_columns()
    by_id = run.job.input.id is not None
    problem: str | None = None
    row: Row | BadRow | None = None
    try:
        row = _find(run, name)
        if row is None and by_id and name.isdecimal():
            row = _at(run, int(name))
    except (InputError, OSError) as error:
        problem = f"the input cannot be read: {error}"
    ordinal = row.ordinal if row is not None else int(name) if name.isdecimal() and not by_id else None
    key = row.id if row is not None else name
    outcomes = {(variant.slug, repeat): outcome for variant, repeat, outcome in _outcomes(run, key if by_id else None, ordinal or 0)}
    if row is None:
        found = next((outcome for outcome in outcomes.values() if outcome is not None), None)
        if found is None:
            return None
        ordinal, key = found.ordinal, found.id
        problem = problem or "the row is not in the input any more"
    assert ordinal is not None  # noqa: S101 - of the row, or else of its outcome
    return ShownRow(key, ordinal, row, problem, list(_tasks(run, row, ordinal, outcomes)))


def _tasks(run: StoredRun, row: Row | BadRow | None, ordinal: int, outcomes: dict[tuple[str, int], Outcome | None]) -> Iterator[ShownTask]:
    try:
        attempts = read_attempts(fetched_watch_folder(run.directory), ordinal)
    except StorageError:
        attempts = []
    in_flight = {}
    for state in live_states(run.directory):
        oldest = state.get("oldest")
        for each in oldest if isinstance(oldest, list) else []:
            if each.get("row") == ordinal:
                in_flight[each.get("variant"), each.get("repeat")] = each
    for variant in run.job.variants:
        request, error = _request(run, variant, row)
        for repeat in range(run.job.run.repeats):
            own = [each for each in attempts if each.variant == variant.name and each.repeat == repeat]
            outcome = outcomes.get((variant.slug, repeat))
            yield ShownTask(variant, repeat, request, error, own, outcome, in_flight.get((variant.name, repeat)))


def _request(run: StoredRun, variant: Variant, row: Row | BadRow | None) -> tuple[Request | None, str | None]:
    if row is None:
        return None, None
    if isinstance(row, BadRow):
        return None, row.message
    try:
        return request_builder(variant, stream=run.job.run.stream).build(row), None
    except RowError as error:
        return None, error.info.message
    except (ValueError, InputError) as error:
        return None, str(error)


def _outcomes(run: StoredRun, key: str | None, ordinal: int) -> Iterator[tuple[Variant, int, Outcome | None]]:
    for variant in run.job.variants:
        index = ResumeIndex.load(run.directory.journal_dir(variant.slug), lambda _: None)
        with RecordReader(index.segments) as reader:
            hashes = [task_hash(key, ordinal, repeat) for repeat in range(run.job.run.repeats)]
            yield from zip([variant] * len(hashes), range(len(hashes)), reader.read(index.locate(hashes)), strict=True)


def _find(run: StoredRun, name: str) -> Row | BadRow | None:
    for batch in run.dataset.batches(wanted=lambda ids: [each == name for each in ids]):
        for row in batch:
            if row.id == name:
                return row
    return None


def _at(run: StoredRun, ordinal: int) -> Row | BadRow | None:
    for batch in run.dataset.batches():
        for row in batch:
            if row.ordinal == ordinal:
                return row
        if batch and batch[-1].ordinal > ordinal:
            return None
    return None


def row_document(shown: ShownRow, tasks: Sequence[ShownTask]) -> dict[str, Any]:
    """Describe a row, with these of its tasks, as JSON."""
    row = shown.row
    columns = parsed_json(json_bytes(row.columns)) if row is not None and not isinstance(row, BadRow) else None
    head = {"format": FORMAT, "id": shown.id, "row": shown.ordinal, "problem": shown.problem, "columns": columns}
    place = {"file": None if row is None else str(row.file), "line": None if row is None else row.line}
    documents = []
    for task in tasks:
        outcome = task.outcome
        documents.append(
            {
                "variant": task.variant.name,
                "repeat": task.repeat,
                "request": None if task.request is None else parsed_json(task.request.body),
                "request_error": task.request_error,
                "request_changed": task.is_changed,
                "failed_attempts": [asdict(attempt) for attempt in task.attempts],
                "in_flight": task.in_flight,
                "outcome": None
                if outcome is None
                else {
                    "status": "ok" if outcome.ok else "failed",
                    "attempts": outcome.attempts,
                    "done": outcome.done,
                    "latency_s": seconds(outcome),
                    "first_token_s": first_token_seconds(outcome),
                    "finish_reason": outcome.finish_reason,
                    "usage": outcome.usage,
                    "cost_usd": outcome.cost_usd,
                    "copy_of": outcome.copy_of,
                    "completion": answer_text(outcome),
                    "error": None if outcome.error is None else asdict(outcome.error),
                    "response": None if outcome.response is None else parsed_json(outcome.response),
                },
            }
        )
    return {**head, **place, "tasks": documents}
