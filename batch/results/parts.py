"""The parts of outputs: which rows stand in which file, and what the files are called. Pure.

A part has the rows with ordinals from one multiple of `rows` up to the next, so that a row never changes its part while the number of rows
of a part stays. Names are those of Hugging Face datasets: completions-00003-of-00020.parquet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from batch.settings import Job, OutputFormat

# About 100 MB of short answers: every tool opens such a file at once, and a run of as many rows is short.
ONE_FILE_TASKS = 100_000
# The first is there early, also in a run of a quarter of a minute.
WANTED_PARTS = 64
LEAST_TASKS = 5_000
# A file of a million answers has 0.5 to 2 GB, about what readers of many files expect of each.
MOST_TASKS = 1_000_000
_NAME = re.compile(r"(completions|errors)-(\d{5,})-of-(\d{5,})\.(jsonl|parquet|csv)")


@dataclass(frozen=True, slots=True)
class PartPlan:
    """`count` parts of `rows` rows each, the last one of fewer; `bound` is the number of rows of the whole input."""

    bound: int
    rows: int
    count: int

    def range(self, number: int) -> tuple[int, int]:
        """Return the ordinals of a part: first, and last plus one."""
        return number * self.rows, min(self.bound, (number + 1) * self.rows)

    def paths(self, number: int, folder: Path, form: OutputFormat) -> list[Path]:
        """Return the paths of completions and errors of a part."""
        return [folder / f"{kind}-{number:05d}-of-{self.count:05d}.{form}" for kind in ("completions", "errors")]

    def all_paths(self, folder: Path, form: OutputFormat) -> list[Path]:
        """Return the paths of all parts, completions first."""
        found = [self.paths(number, folder, form) for number in range(self.count)]
        return [completions for completions, _ in found] + [errors for _, errors in found]


def plan_parts(job: Job, bound: int, form: OutputFormat) -> PartPlan | None:
    """Return the parts of a job's outputs; None for one file."""
    output = job.output
    if form == "openai-batch" or not bound:
        return None
    if output.rows_per_part is not None:
        return _of_rows(bound, output.rows_per_part)
    if output.parts != "auto":
        return _of_rows(bound, -(-bound // output.parts)) if output.parts > 1 else None
    tasks_per_row = len(job.variants) * job.run.repeats
    if bound * tasks_per_row <= ONE_FILE_TASKS:
        return None
    return _of_rows(bound, max(1, _round(bound * tasks_per_row // WANTED_PARTS) // tasks_per_row))


def part_files(folder: Path, form: OutputFormat) -> list[Path]:
    """Return the parts that are in a folder, whatever their number. Raises OSError."""
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))] if folder.is_dir() else []
    return sorted(path for match, path in found if match[4] == form)


def _of_rows(bound: int, rows: int) -> PartPlan:
    return PartPlan(bound, rows, -(-bound // rows))


def _round(tasks: int) -> int:
    """Round up to 1, 2 or 5 times a power of ten, so that the parts stay the same while rows are appended; LEAST_TASKS to MOST_TASKS."""
    steps = (factor * 10**power for power in range(3, 7) for factor in (1, 2, 5))
    return min(MOST_TASKS, next((step for step in steps if step >= max(tasks, LEAST_TASKS)), MOST_TASKS))
