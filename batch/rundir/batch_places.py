"""What a run directory has of Batch APIs: the ledger of submissions, and the files of batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batch.journal.disk import open_to_read, storage_errors
from batch.journal.ledger import LEDGER, FileLedger, Ledger, read_events


class BatchPlaces:
    """The part of RunDirectory, whose `path` it uses, that is for Batch APIs."""

    path: Path

    def open_ledger(self) -> Ledger:
        """Open the record of what was submitted to Batch APIs; hold the lock. Raises DamagedError, StorageError."""
        return FileLedger(self.path / LEDGER)

    def ledger_events(self) -> list[dict[str, Any]]:
        """Read what was submitted to Batch APIs, changing nothing; a torn last event is not read. Raises DamagedError, StorageError."""
        path = self.path / LEDGER
        with storage_errors(path):
            if not path.exists():
                return []
            with open_to_read(path) as file:
                return read_events(str(path), file.read())[0]

    def has_ledger(self) -> bool:
        """Whether anything was submitted to a Batch API."""
        with storage_errors(self.path):
            return (self.path / LEDGER).exists()

    def discard(self, *paths: Path) -> None:
        """Remove files of the run directory that are needed no longer; missing ones are no error. Raises StorageError."""
        for path in paths:
            with storage_errors(path):
                path.unlink(missing_ok=True)
