"""Outcomes that an object store did not take, kept in files on this machine until the next session puts them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from batch.journal.disk import open_to_read, storage_errors
from batch.journal.index import ResumeIndex
from batch.journal.lines import OK_AT, TASK_AT, is_whole
from batch.storage import open_regular, sync_directory


class Unsent:
    """The files of one run directory, one folder a variant, in the user's cache. Every method raises StorageError."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep(self, slug: str, stem: str, data: bytes) -> Path:
        """Write outcomes to a new file, durably; returns its path."""
        folder = self.root / slug
        path = folder / f"{stem}-{secrets.token_hex(4)}.jsonl"
        with storage_errors(path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "xb", opener=open_regular) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync_directory(folder)
        return path

    def files(self, slug: str) -> list[Path]:
        """List the files of a variant."""
        with storage_errors(self.root):
            return sorted((self.root / slug).glob("*.jsonl"))

    def slugs(self) -> list[str]:
        """List the variants that have files."""
        with storage_errors(self.root):
            return sorted({path.parent.name for path in self.root.glob("*/*.jsonl")})

    def missing(self, slug: str, index: ResumeIndex) -> bytes:
        """Read the outcomes that the journal does not have: of tasks without a record, or completions of tasks that have failed."""
        lines = [line for path in self.files(slug) for line in self.read(path).splitlines() if is_whole(line)]
        recorded = index.lookup([int(line[TASK_AT : TASK_AT + 16], 16) for line in lines])
        wanted = [
            line for line, entry in zip(lines, recorded, strict=True) if entry is None or (not entry.ok and line[OK_AT : OK_AT + 1] == b"1")
        ]
        return b"".join(line + b"\n" for line in wanted)

    def read(self, path: Path) -> bytes:
        """Read a file."""
        with storage_errors(path), open_to_read(path) as file:
            return file.read()

    def remove(self, slug: str) -> None:
        """Remove the files of a variant, which are on the store now."""
        for path in self.files(slug):
            with storage_errors(path):
                path.unlink(missing_ok=True)
