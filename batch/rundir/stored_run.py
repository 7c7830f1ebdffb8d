"""A run as it is stored: its directory, manifest, job and input, opened once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.settings import Job, OutputFormat


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run directory with a job and the dataset that this job reads. `app.stored` makes it.

    `manifest` is that of the last session when the run was opened; None where no run has begun. `dataset` reads the columns that requests
    and outputs need.
    """

    directory: RunDirectory
    manifest: Manifest | None
    job: Job
    dataset: Dataset

    def without_limit(self) -> StoredRun:
        """Return the run with all selected rows of its input: earlier sessions may have sent rows beyond the job's limit."""
        return self if self.job.input.limit is None else replace(self, dataset=self.dataset.without_limit())

    def export_command(self, form: OutputFormat) -> str:
        """Return the command that derives the outputs again in a format."""
        return f"promptmill export {self.directory.place} --format {form}"

    def with_all_columns(self) -> StoredRun:
        """Return the run with every column of its input, for scores."""
        return replace(self, dataset=self.dataset.with_all_columns())
