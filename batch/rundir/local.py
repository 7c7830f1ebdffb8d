"""The run directory on disk: its lock, its manifest, and the paths of its files."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

from batch.errors import RunDirectoryError
from batch.journal.disk import Disk, open_to_read, storage_errors
from batch.journal.file_writer import FileJournal
from batch.journal.leased import LeasedFileJournal, claim_number, earlier_segments, seal, unreported
from batch.journal.packing import is_packed, unpack
from batch.journal.salvage import Salvaged, salvage_journal
from batch.journal.segment_name import SegmentName
from batch.journal.segments import Segment
from batch.journal.writer import JournalWriter, LeasedJournalWriter
from batch.rundir.batch_places import BatchPlaces
from batch.rundir.file_lock import FileLock, lock_directory
from batch.rundir.finding_runs import meant
from batch.rundir.kept_names import ROWS, numbered
from batch.rundir.manifest import Manifest
from batch.settings import RunSettings
from batch.storage import replace_atomically, sync_directory

T = TypeVar("T")

# A run of another major number is refused; a minor number only adds what older versions may ignore.
LAYOUT = "2.0"

# What --fresh moves aside, the journal first: a crash in between leaves a run without outcomes, never outcomes without a run.
CONTENTS = (
    *("journal", "submissions.jsonl", "batches", "run.json", "input-index.json", "rows"),
    *("completions.*", "errors.*", "completions-*", "errors-*", ".parts", "scores", "report.html"),
    *("watch", "control.jsonl", "accepted.json"),
)


class RunDirectory(BatchPlaces):
    """The folder of one run, which may not exist yet."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file_lock: FileLock | None = None

    @property
    def place(self) -> Path | str:
        """The location shown to people: a path, or the address of a folder on an object store."""
        return self.path

    @contextmanager
    def lock(self, report: Callable[[str], None] | None = None) -> Iterator[None]:  # noqa: ARG002 - flock does not wait
        """Lock the run directory, which is created when it is missing. The kernel releases the lock when the process ends in any way.

        `report` gets a sentence when acquiring the lock takes a while.

        Raises:
            LockedError: another runner has the lock; the text names its process.
            RunDirectoryError: the path is not a folder.
            StorageError: the directory cannot be written to.
        """
        self._make()
        self._file_lock = lock = lock_directory(self.path)
        try:
            yield
        finally:
            self._file_lock = None
            lock.release()

    @property
    def exists(self) -> bool:
        """Whether the directory has a run."""
        with storage_errors(self.path):
            return (self.path / "run.json").exists()

    @property
    def manifest(self) -> Manifest:
        """The content of `run.json`.

        Raises:
            RunDirectoryError: it is missing, cannot be read, or has a layout that this version does not support.
        """
        path = f"{self.place}: run.json"
        try:
            document = _parsed(self._read_manifest())
            layout = str(document["layout"])
        except (FileNotFoundError, NotADirectoryError):
            hint = meant(Path(self.place)) if self.is_local else "give the folder of a run"
            raise RunDirectoryError(f"{self.place}: no run was begun here (there is no run.json); {hint}") from None
        except OSError as error:
            raise RunDirectoryError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(f"{path}: is not a promptmill run; take another output dir, or give --fresh to start over") from error
        if layout.partition(".")[0] != LAYOUT.partition(".")[0]:
            raise RunDirectoryError(
                f"{path}: has layout {layout}, this promptmill writes {LAYOUT}; "
                "continue with the version that started the run, or take another output dir"
            )
        try:
            return Manifest.from_document(document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunDirectoryError(f"{path}: is damaged ({type(error).__name__}: {error}); restore it, or give --fresh") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Write `run.json` atomically and durably; adds `layout`.

        Raises:
            StorageError: the disk refuses.
        """
        self._put_manifest(json.dumps({"layout": LAYOUT, **manifest.document()}, indent=2).encode() + b"\n")

    def journal_dir(self, slug: str) -> Path:
        """Path of the journal of a variant, unpacked; for a store, of a local copy that each call updates.

        Raises:
            StorageError, DamagedError.
        """
        folder = self.path / "journal" / slug
        for path in (folder.parent, folder):
            refuse_foreign_link(path)
        if is_packed(folder):
            unpack(folder)
        return folder

    def open_journal(self, slug: str, run: RunSettings) -> JournalWriter:
        """Open the writer of a variant's journal; hold the lock. Raises as FileJournal."""
        return FileJournal(self.journal_dir(slug), run.durability, check=self.check_lock)

    def claim(self, slug: str) -> tuple[int, str | None]:
        """Claim the next number of a variant's journal for a session over several processes; hold the lock.

        The second value says what was repaired. Raises DamagedError, StorageError.
        """
        return claim_number(self.journal_dir(slug))

    def open_lease(self, slug: str, lease: SegmentName, run: RunSettings) -> LeasedJournalWriter:
        """Open the writer of a lease's journal; for the worker that has the lease."""
        return LeasedFileJournal(self.journal_dir(slug), lease, run.durability)

    def seal(self, slug: str, lease: SegmentName, reported: tuple[int, int]) -> list[tuple[str, bytes]]:
        """Decide for good what of a lease's journal counts: what is there now. Call it before the shard gets another lease.

        Returns what the worker has not reported: the lines beyond `reported` (its `appended_bytes`), each piece with its location.
        Raises DamagedError, StorageError.
        """
        return unreported(seal(self.journal_dir(slug), lease), reported)

    def earlier(self, slug: str, lease: SegmentName, read: Callable[[Sequence[Segment]], T]) -> T:
        """Read what earlier leases of the same shard recorded in this session. Raises DamagedError, StorageError, OSError."""
        return read(earlier_segments(self.journal_dir(slug), lease))

    def merge_lease(self, slug: str, lease: SegmentName, objects: int) -> None:
        """Merge the first `objects` objects of a finished lease, where each flush is one. Raises StorageError."""

    def merge_objects(self) -> None:
        """Merge the small objects of all journals, where each flush is one; hold the lock. Raises DamagedError, StorageError."""

    def batch_folder(self) -> Path:
        """Path of the folder for the files of batches, which is created; for a store, of a local copy that each call updates."""
        folder = self.path / "batches"
        refuse_foreign_link(folder)
        with storage_errors(folder):
            Disk().make_directory(folder)
        return folder

    def check_lock(self) -> None:
        """Check that this process still has the lock, if it took one, on what the path names now. Raises StorageError if not."""
        if self._file_lock is not None:
            self._file_lock.check()

    def check_writable(self) -> None:
        """Check that the store can be written to. Raises StorageError."""

    def remove_folders(self, prefix: str) -> None:
        """Remove the temporary folders whose names begin with `prefix`. Raises StorageError."""
        with storage_errors(self.path):
            for folder in self.path.glob(f"{prefix}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def salvage(self, slug: str) -> list[Salvaged]:
        """Rewrite the damaged segments of a journal; hold the lock. Raises StorageError."""
        return salvage_journal(self.journal_dir(slug))

    def rows_place(self, name: str) -> str:
        """Return the path, or the address, of a file of kept rows."""
        return str(self.path.absolute() / ROWS / name)

    def keep_rows(self, made: Path, stem: str) -> str:
        """Move a file of rows to the kept ones; hold the lock. Returns its name: `stem` with the next number. Raises StorageError."""
        folder = self.path / ROWS
        refuse_foreign_link(folder)
        with storage_errors(folder):
            Disk().make_directory(folder)
            name = numbered(made, stem, [entry.name for entry in folder.iterdir()])
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.rename(folder / name)
            sync_directory(folder)
        return name

    def drop_rows(self, kept: str) -> None:
        """Remove all kept rows but the file named `kept`; hold the lock. Raises StorageError."""
        folder = self.path / ROWS
        with storage_errors(folder):
            for entry in folder.iterdir() if folder.is_dir() else ():
                if entry.name != kept:
                    entry.unlink(missing_ok=True)

    def fetch(self, *names: str) -> None:
        """Update the local copy of derived files: folders (`scores`), or files by pattern (`errors.*`). Raises StorageError."""

    def publish(self, *paths: Path) -> list[Path | str]:
        """Publish files and folders that were written under `path`; returns their locations. Raises StorageError."""
        return list(paths)

    @property
    def is_local(self) -> bool:
        """Whether the directory is on a disk that other processes of this machine see."""
        return True

    def slugs(self) -> list[str]:
        """List the variants that have a journal, sorted by name."""
        root = self.path / "journal"
        with storage_errors(root):
            return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []

    def clear(self) -> str:
        """Start over; hold the lock. Moves what was paid for to `old/<time>/` instead of deleting it; returns a sentence that says so.

        Raises:
            StorageError: the disk refuses.
        """
        with storage_errors(self.path):
            present = [entry for pattern in CONTENTS for entry in sorted(self.path.glob(pattern))]
            if not present:
                return f"Nothing of an earlier run was in {self.path}."
            aside = self._aside()
            for entry in present:
                entry.rename(aside / entry.name)
            # The new names first: a power loss leaves each entry in at least one of the two folders.
            sync_directory(aside)
            sync_directory(self.path)
        return f"The earlier results were moved to {aside}; delete that folder when you need them no longer."

    def _aside(self) -> Path:
        refuse_foreign_link(self.path / "old")
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = [stamp, *(f"{stamp}-{number}" for number in range(2, 1000))]
        aside = next(path for name in names if not (path := self.path / "old" / name).exists())
        aside.mkdir(parents=True)
        return aside

    def _read_manifest(self) -> bytes:
        with open_to_read(self.path / "run.json") as file:
            return file.read()

    def _put_manifest(self, text: bytes) -> None:
        # Never into a folder that has taken the place of the locked one: it may be another runner's.
        self.check_lock()
        with replace_atomically(self.path / "run.json") as file:
            file.write(text)

    def _make(self) -> None:
        with storage_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise RunDirectoryError(f"{self.path}: is a file, not a folder; take another output dir")
            Disk().make_directory(self.path)


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        # Names of files that are not UTF-8 have lone surrogates, which only the standard library takes.
        return json.loads(text)


def refuse_foreign_link(path: Path) -> None:
    """Refuse a symbolic link of another user in a run directory: it could lead to any folder of this user. Raises RunDirectoryError."""
    with storage_errors(path):
        found = path.lstat() if path.is_symlink() else None
    if found is not None and stat.S_ISLNK(found.st_mode) and found.st_uid != os.geteuid():
        raise RunDirectoryError(f"{path}: is a symbolic link of another user, which is not followed; take another output dir")
