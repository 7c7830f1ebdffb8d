"""Make rows of another run's answers: its rows with their columns and their answers, ids the same.

A row has the columns of the row that was answered and `completion`, `finish_reason`, `parsed` where the answers have a schema, `variant`
where there are those of several models, `repeat` where there are several, `item` and `parent_id` where a list is exploded. A column of
the answered row that has one of these names is in `steps` under the name of the job whose answer it is of ("input" for the input's own).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batch.errors import InputError
from batch.journal.index import ResumeIndex
from batch.prompts.schemas import parsed_answer
from batch.readers.ids import id_text
from batch.readers.jsonl import exact_value
from batch.readers.where import Condition
from batch.record_class import record_class
from batch.records import Row
from batch.results.input_check import InputCheck, input_changed
from batch.results.join import MatchedTasks, Result, portions
from batch.results.lines import completion_line
from batch.rundir.stored_run import StoredRun
from batch.settings import Variant
from batch.settings.inputs import STEP_ID, StepSettings

STEPS = "steps"
INPUT = "input"
_INDEX = re.compile(r"\[(-?\d+)\]")


@record_class(frozen=True, slots=True)
class StepRow:
    """A row made of an answer: the `row` that was answered, and what it has beside the columns of that, or in their place."""

    id: str
    row: Row
    own: Mapping[str, Any]

    @property
    def columns(self) -> dict[str, Any]:
        """All columns, with the id as STEP_ID."""
        return {**self.row.columns, **self.own, STEP_ID: self.id}


@dataclass(slots=True)
class StepCounts:
    """Answers that became rows, and by reason the tasks that have none; `moved` are the input's columns that are under steps.input."""

    answers: int = 0
    omitted: Counter[str] = field(default_factory=Counter)
    moved: set[str] = field(default_factory=set)


class StepRows:
    """The rows that the answers of `run` make, in the order of its rows. `name` is that of its job.

    Raises:
        InputError: when made: there is no run, or not the wanted variant.
    """

    def __init__(self, run: StoredRun, step: StepSettings, where: str | None = None) -> None:
        if run.manifest is None:
            raise InputError(f"{run.directory.place}: has no answers yet; run that job first")
        self._run = run.with_all_columns()
        self._step = step
        self._where = None if where is None else Condition(where)
        self.name = run.manifest.name
        self._variants = _chosen(run, step.variant)
        origin = None if run.manifest.input is None else run.manifest.input.origin
        self._producer = INPUT if origin is None else str(origin.get("name", INPUT))
        self.counts = StepCounts()

    @property
    def run(self) -> StoredRun:
        """The run, with all columns of its rows."""
        return self._run

    @property
    def own_names(self) -> set[str]:
        """The columns that rows have beside those of the answered rows, but for `steps` and the id."""
        names = {"completion", "finish_reason"}
        names |= {"parsed"} if any(variant.prompt.schema is not None for variant in self._variants) else set()
        names |= {"variant"} if len(self._variants) > 1 else set()
        names |= {"repeat"} if self._run.job.run.repeats > 1 else set()
        return names | ({"item", "parent_id"} if self._step.explode is not None else set())

    @property
    def may_have_several_texts(self) -> bool:
        """Whether a completion may be a list of texts: a reply may have several answers."""
        return any(variant.prompt.stored or variant.parameters.get("n") for variant in self._variants)

    def __iter__(self) -> Iterator[StepRow]:
        """Yield the rows, and count what has none. Raises InputError, InputChangedError, DamagedError, StorageError."""
        self.counts = StepCounts()
        for result in self._results():
            outcome = result.outcome
            if outcome is None or not outcome.ok or not isinstance(result.row, Row):
                self.counts.omitted["not answered yet" if outcome is None else "failed"] += 1
                continue
            made = self._exploded(self._answered(result, result.row))
            for row in made:
                if self._where is None or self._where.holds(row.columns):
                    self.counts.answers += 1
                    yield row

    def _results(self) -> Iterator[Result]:
        """Yield the tasks as outputs have them: with outcomes beyond the job's limit, and refused where the input changed since."""
        run, limit = self._run, self._run.job.input.limit
        whole = run.without_limit()
        indexes = {variant.slug: ResumeIndex.load(run.directory.journal_dir(variant.slug)) for variant in self._variants}
        matched = {slug: MatchedTasks(index) for slug, index in indexes.items()}
        check = InputCheck(whole)
        rows, last = 0, -1
        for portion in portions(whole, self._variants, indexes=indexes, matched=matched, enough_rows=limit):
            for result in check.watch(portion):
                rows += result.row.ordinal != last
                last = result.row.ordinal
                if limit is None or rows <= limit or result.outcome is not None:
                    yield result
        # Of one variant among several the outcomes of the others were not matched.
        if len(self._variants) == len(run.job.variants) and (problem := check.problem(matched)):
            raise input_changed(problem, run.export_command("jsonl"))

    def _answered(self, result: Result, row: Row) -> StepRow:
        if result.outcome is None:
            raise AssertionError("a row is made of an answer")
        line = completion_line(result, result.outcome, ())
        own = {"completion": line["completion"], "finish_reason": line["finish_reason"]}
        identifier = row.id
        if result.variant.prompt.schema is not None:
            own["parsed"] = _parsed(line["completion"])
        if len(self._variants) > 1:
            own["variant"] = result.variant.name
            identifier += f"/{result.variant.slug}"
        if self._run.job.run.repeats > 1:
            own["repeat"] = result.repeat
            identifier += f"/{result.repeat}"
        return StepRow(identifier, row, self._with_moved(row, own))

    def _exploded(self, whole: StepRow) -> Sequence[StepRow]:
        if self._step.explode is None:
            return (whole,)
        items = value_at(whole.columns, self._step.explode)
        if not isinstance(items, list | tuple) or not items:
            self.counts.omitted[f"without {'an element of a' if items is not None and not items else 'a'} list {self._step.explode}"] += 1
            return ()
        return [
            StepRow(f"{whole.id}/{number}", whole.row, self._with_moved(whole.row, {**whole.own, "item": item, "parent_id": whole.id}))
            for number, item in enumerate(items)
        ]

    def _with_moved(self, row: Row, own: dict[str, Any]) -> dict[str, Any]:
        """Add `steps` where columns of the answered row have names that are taken."""
        taken = (own.keys() - {STEPS}) & row.columns.keys()
        if not taken:
            return own
        before = row.columns.get(STEPS)
        earlier = dict(before) if isinstance(before, Mapping) and self._producer != INPUT else {}
        if self._producer == INPUT:
            taken |= {STEPS} & row.columns.keys()
            self.counts.moved |= taken
        return {**own, STEPS: {**earlier, self._producer: {name: row.columns[name] for name in sorted(taken)}}}


def value_at(columns: Mapping[str, Any], path: str) -> Any:
    """Return the value at `path`, such as item, parsed.items or messages[0].content; None where there is none."""
    if path in columns:
        return columns[path]
    value: Any = columns
    for name in _INDEX.sub(r".\1", path).split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list | tuple) and name.lstrip("-").isdecimal() and -len(value) <= int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def group_id(columns: Mapping[str, Any], path: str) -> str | None:
    """Return the value at `path` as the id of a group; None where there is none."""
    return id_text(value_at(columns, path))


def _parsed(completion: Any) -> Any:
    """Return the value of an answer that has a schema; None where it is no JSON, as unchecked answers may be."""
    if isinstance(completion, list):
        return [_parsed(each) for each in completion]
    if not isinstance(completion, str):
        return None
    try:
        try:
            return exact_value(completion.encode())
        # What it refuses, as half a character, may be JSON all the same.
        except ValueError:
            return parsed_answer(completion)
    except (ValueError, RecursionError):
        return None


def _chosen(run: StoredRun, name: str | None) -> tuple[Variant, ...]:
    variants = run.job.variants
    if name is None:
        return variants
    found = tuple(variant for variant in variants if variant.name == name)
    if not found:
        there = ", ".join(variant.name for variant in variants)
        raise InputError(f"{run.directory.place}: [input] variant: it has no answers of {name!r}; there are those of {there}")
    return found
