"""The results of a run as Arrow tables: the same lines and types as its Parquet files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.readers import Dataset
from batch.results.outputs import export
from batch.rundir.local import RunDirectory
from batch.settings import Job


class Tables:
    """Completions and errors as the journals have them when one of them is first asked for.

    They are put by in a temporary folder, so that they need not be in memory as a whole.
    """

    def __init__(self, job: Job, directory: RunDirectory) -> None:
        self._job = job
        self._directory = directory

    def completions(self) -> pa.Table:
        """One row per answer, in input order. Raises InputError, DamagedError, StorageError."""
        return pq.read_table(self._files[0])

    def errors(self) -> pa.Table:
        """One row per failed task, in input order. Raises as `completions`."""
        return pq.read_table(self._files[1])

    def stream(self) -> pa.RecordBatchReader:
        """The completions, batch by batch. Raises as `completions`."""
        file = pq.ParquetFile(self._files[0])
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())

    @cached_property
    def _files(self) -> list[Path | str]:
        folder = tempfile.mkdtemp(prefix="promptmill-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return export(self._job, self._directory, Dataset(self._job.input), "parquet", Path(folder))
