"""Keep the rows of a step in a file: JSON lines, or Arrow where the answered rows have types."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any, BinaryIO

from batch.journal.disk import storage_errors
from batch.readers.jsonl import exact_value
from batch.results.steps.groups import Groups, grouped_columns, with_group
from batch.results.steps.rows import StepCounts, StepRows
from batch.writers.values import json_bytes


def write_step_rows(rows: StepRows, group: str | None, folder: Path) -> tuple[Path, StepCounts, int]:
    """Write `rows`, grouped by the value at `group`, into a new file in `folder`; return it with what was counted and the number of rows.

    Grouping takes 16 bytes of memory a row, an entry a group, and the rows of the largest group.

    Raises:
        InputError, InputChangedError, DamagedError: the answers cannot be read.
        StorageError: the disk refuses.
    """
    if rows.run.dataset.columnar:
        from batch.results.steps.arrow_files import write_arrow  # pyarrow: other inputs do without

        path = folder / "rows.arrow"
        with storage_errors(path):
            return path, rows.counts, write_arrow(rows, group, path)
    path = folder / "rows.jsonl"
    with storage_errors(path), path.open("wb") as file:
        count = _write_lines(rows, file) if group is None else _write_groups(rows, group, folder, file)
    return path, rows.counts, count


def _write_lines(rows: StepRows, file: BinaryIO) -> int:
    count = 0
    for row in rows:
        file.write(json_bytes(row.columns) + b"\n")
        count += 1
    return count


def _write_groups(rows: StepRows, path: str, folder: Path, file: BinaryIO) -> int:
    groups, places = Groups(), array("q", [0])
    with (folder / "ungrouped.jsonl").open("w+b") as lines:
        for row in with_group(rows, path, groups.add):
            places.append(places[-1] + lines.write(json_bytes(row.columns) + b"\n"))

        def read(number: int) -> Any:
            lines.seek(places[number])
            return exact_value(lines.read(places[number + 1] - places[number]))

        file.writelines(json_bytes(grouped_columns(map(read, numbers), identifier, path)) + b"\n" for identifier, numbers in groups)
    return len(groups)
