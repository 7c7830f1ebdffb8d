"""The failed tasks of a run's journals, by the code of their error."""

from __future__ import annotations

from collections.abc import Iterator

from batch.journal.index import ResumeIndex
from batch.journal.reading import RecordReader


def failures_of(index: ResumeIndex) -> Iterator[tuple[int, str]]:
    """Yield each failed task's hash and the code of its error. Raises DamagedError, StorageError."""
    with RecordReader(index.segments) as reader:
        for batch in index.failures():
            outcomes = reader.read([location for _, location in batch])
            for (task, _), outcome in zip(batch, outcomes, strict=True):
                if outcome is not None and outcome.error is not None:
                    yield task, outcome.error.code
