"""Compare two written Parquet files row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.writers.arrow_types import same

_COMPARED_ROWS, _COMPARED_BYTES = 1024, 16 << 20


def first_difference(path: Path, other: Path) -> int | None:
    """Return the first line (from 1) in which two files differ; None when they are equal. NaN equals NaN."""
    start = 1
    with pq.ParquetFile(path) as left, pq.ParquetFile(other) as right:
        if left.schema_arrow != right.schema_arrow:
            return start
        for mine, theirs in _aligned(_batches(left), _batches(right)):
            if theirs is None or not _same_rows(mine, theirs):
                return start + _first_difference_in(mine, theirs)
            start += mine.num_rows
        return None if left.metadata.num_rows == right.metadata.num_rows else start


def _aligned(left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
    """Pair the rows of two files, whose row groups may have different sizes; None where the second has ended."""
    theirs = None
    for batch in left:
        mine = batch
        while mine.num_rows:
            if theirs is None or not theirs.num_rows:
                theirs = next(right, None)
                if theirs is None:
                    yield mine, None
                    return
            size = min(mine.num_rows, theirs.num_rows)
            yield mine.slice(0, size), theirs.slice(0, size)
            mine, theirs = mine.slice(size), theirs.slice(size)


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        row_bytes = group.total_byte_size // max(1, group.num_rows)
        yield from file.iter_batches(min(_COMPARED_ROWS, max(1, _COMPARED_BYTES // max(1, row_bytes))), row_groups=[number])


def _same_rows(left: pa.RecordBatch, right: pa.RecordBatch) -> bool:
    return all(map(same, left.columns, right.columns))


def _first_difference_in(left: pa.RecordBatch, right: pa.RecordBatch | None) -> int:
    if right is None:
        return 0
    return next(row for row in range(left.num_rows) if not _same_rows(left.slice(row, 1), right.slice(row, 1)))
