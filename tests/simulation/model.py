"""What must be: the journal read by a reader of our own, and what the job makes of the rows as they are now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.journal.lines import decode, is_whole
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import BadRow, Outcome, Row
from batch.settings import Job, Variant
from tests.simulation.world import require

SegmentName = tuple[str, str, int]
"""A task: variant, id, repeat."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """A task as the input has it now; `prompt` is None for a row that cannot be sent."""

    name: SegmentName
    key: bytes
    row: Row | BadRow
    prompt: str | None
    model: str
    temperature: float


_builders: dict[tuple[str, bool], RequestBuilder] = {}


def builder(variant: Variant, stream: bool) -> RequestBuilder:
    """What makes the requests of a variant; kept, since compiling templates takes longer than a session."""
    known = (repr(variant), stream)
    if known not in _builders:
        _builders[known] = RequestBuilder(variant, stream)
    return _builders[known]


def wanted(job: Job) -> list[RowFilter]:
    """Every task of the job, in the order of the outputs."""
    builders = [builder(variant, stream=False) for variant in job.variants]
    tasks = []
    for rows in Dataset(job.input).batches():
        for row in rows:
            for variant, requests in zip(job.variants, builders, strict=True):
                prompt = row.columns.get("text") if isinstance(row, Row) else None
                unsent = row.digest if isinstance(row, BadRow) else bytes(16)
                key = unsent if isinstance(row, BadRow) or prompt is None else requests.build(row).key
                for repeat in range(job.run.repeats):
                    name = (variant.name, row.id, repeat)
                    tasks.append(RowFilter(name, key, row, prompt, variant.model, variant.parameters["temperature"]))
    return tasks


class Records:
    """The whole records of all journals of a run directory, in the order in which they were written."""

    def __init__(self, job: Job, folder: Path, *, may_be_torn: bool, with_unended: bool = True) -> None:
        self.lines: dict[str, list[bytes]] = {}
        for variant in job.variants:
            self.lines[variant.name] = list(_lines(folder / "journal" / variant.slug, may_be_torn=may_be_torn, with_unended=with_unended))

    def counts(self) -> dict[str, int]:
        """How many there are of each variant."""
        return {name: len(lines) for name, lines in self.lines.items()}

    def newest(self) -> dict[SegmentName, Outcome]:
        """The last record of each task."""
        return {(variant, outcome.id, outcome.repeat): outcome for variant, outcome in self.since({})}

    def since(self, counts: dict[str, int]) -> Iterator[tuple[str, Outcome]]:
        """The records beyond the first `counts` of each variant."""
        for variant, lines in self.lines.items():
            for line in lines[counts.get(variant, 0) :]:
                yield variant, decode(line)


def _lines(folder: Path, *, may_be_torn: bool, with_unended: bool) -> Iterator[bytes]:
    """Promise 3: whole records, and at most one torn tail in the last segment that is not empty.

    A last record that lacks only its newline is one at the next opening; the process that could not write it whole does not count it.
    """
    paths = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    numbers = [int(path.stem) for path in paths]
    require(numbers == list(range(1, len(paths) + 1)), "3", f"segments {numbers}")
    contents = [path.read_bytes() for path in paths]
    filled = [number for number, content in enumerate(contents) if content]
    for number, content in enumerate(contents):
        *whole, tail = content.split(b"\n")
        for line in whole:
            require(is_whole(line), "3", f"{paths[number]} holds a record that is not whole: {line[:80]!r}")
            yield line
        if tail:
            require(may_be_torn and number == filled[-1], "3", f"{paths[number]} has a torn tail of {len(tail)} bytes")
            if with_unended and is_whole(tail):
                yield tail


def text_of(outcome: Outcome) -> Any:
    """The answer in a completion."""
    require(outcome.response is not None, "5", f"{outcome.id} is ok without an answer")
    return json.loads(outcome.response or b"")["choices"][0]["message"]["content"]


def output_lines(job: Job, records: Records) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What must stand in completions and errors: (id, row, variant, repeat, text or code, the carried-over column)."""
    newest = records.newest()
    completions, errors = [], []
    for task in wanted(job):
        outcome = newest.get(task.name)
        if outcome is None:
            continue
        head = (task.row.id, task.row.ordinal, task.name[0], task.name[2])
        carried = task.row.columns.get("text") if isinstance(task.row, Row) else None
        if outcome.ok:
            completions.append((*head, text_of(outcome), carried))
        else:
            assert outcome.error is not None
            errors.append((*head, outcome.error.code, carried))
    return completions, errors


Outputs = dict[str, list[tuple[Any, ...]]]
"""The lines of each output file, by its name."""


def right_files(job: Job, records: Records) -> Outputs:
    """The files that must stand there, each with its lines."""
    rows, bound = job.output.rows_per_part, sum(len(batch) for batch in Dataset(job.input).batches())
    files: Outputs = {}
    for kind, lines in zip(("completions", "errors"), output_lines(job, records), strict=True):
        if rows is None or not bound:
            files[f"{kind}.jsonl"] = lines
            continue
        count = -(-bound // rows)
        for part in range(count):
            files[f"{kind}-{part:05d}-of-{count:05d}.jsonl"] = [line for line in lines if part * rows <= line[1] < (part + 1) * rows]
    return files


def read_outputs(folder: Path) -> Outputs:
    """What stands there. Raises ValueError when a line is not whole."""
    completions = {path.name: _read(path, lambda line: line["completion"]) for path in sorted(folder.glob("completions*.jsonl"))}
    return completions | {path.name: _read(path, lambda line: line["error"]["code"]) for path in sorted(folder.glob("errors*.jsonl"))}


def _read(path: Path, of: Any) -> list[tuple[Any, ...]]:
    text = path.read_text()
    require(not text or text.endswith("\n"), "11", f"{path} is not whole")
    lines = [json.loads(line) for line in text.splitlines()]
    return [(line["id"], line["row"], line["variant"], line["repeat"], of(line), line["text"]) for line in lines]
