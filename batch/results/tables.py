"""Read the results of a run as Arrow tables, with the lines and types of its Parquet files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.results.outputs import export
from batch.rundir.stored_run import StoredRun


class Tables:
    """Completions and errors as of the first access to either.

    They are written to a temporary folder, so that they need not fit in memory.
    """

    def __init__(self, run: StoredRun) -> None:
        self._run = run

    def completions(self) -> pa.Table:
        """Read one row per answer, in input order. Raises InputError, DamagedError, StorageError."""
        return pq.read_table(self._files[0])

    def errors(self) -> pa.Table:
        """Read one row per failed task, in input order. Raises as `completions`."""
        return pq.read_table(self._files[1])

    def stream(self) -> pa.RecordBatchReader:
        """Stream the completions, batch by batch. Raises as `completions`."""
        file = pq.ParquetFile(self._files[0])
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())

    @cached_property
    def _files(self) -> list[Path | str]:
        folder = tempfile.mkdtemp(prefix="promptmill-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return export(self._run, "parquet", Path(folder))
