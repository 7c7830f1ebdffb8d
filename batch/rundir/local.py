"""The run directory on disk: its lock, its manifest, and where everything in it lies.

`run.json` is written by the app; `results` reads of it `name`, `rows` (of the input, or null), `repeats` and `variants` ({name: {slug}}).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from batch.errors import LockedError, RunDirectoryError, StorageError
from batch.journal.disk import Disk, refusal
from batch.journal.file_writer import FileJournal
from batch.journal.leased import LeasedFileJournal, claim_number, earlier_segments, seal, unreported
from batch.journal.salvage import Salvaged, salvage_journal
from batch.journal.segments import SegmentName
from batch.journal.writer import JournalWriter, LeasedJournalWriter
from batch.settings import RunSettings
from batch.storage import replace_atomically, sync_directory

if TYPE_CHECKING:
    from batch.journal.index import ResumeIndex

LAYOUT = "1.0"

# What --fresh moves aside, the truth first: a crash in between leaves a run without outcomes, never outcomes without a run.
CONTENTS = ("journal", "run.json", "completions.*", "errors.*", "scores", "report.html")


class RunDirectory:
    """One run's folder, which need not be there yet."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def place(self) -> Path | str:
        """Where it is, for people: a path, or the address of a folder on an object store."""
        return self.path

    @contextmanager
    def lock(self, notice: Callable[[str], None] | None = None) -> Iterator[None]:  # noqa: ARG002 - flock answers at once
        """Hold the run directory, which is created when it is missing. The lock ends with the process, however that ends.

        `notice` is told when that takes a while.

        Raises:
            LockedError: another runner holds it; the text names the holder.
            RunDirectoryError: the path is not a folder.
            StorageError: it cannot be written to.
        """
        try:
            self._make()
            descriptor = os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(refusal(error, self.path)) from error
        try:
            self._hold(descriptor)
            yield
        finally:
            os.close(descriptor)

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "run.json").exists()

    @property
    def manifest(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            RunDirectoryError: there is none, it cannot be read, or it is of a layout that this version does not know.
        """
        path = f"{self.place}: run.json"
        try:
            manifest = orjson.loads(self._read_manifest())
            layout = str(manifest["layout"])
        except (FileNotFoundError, NotADirectoryError):
            raise RunDirectoryError(f"{self.place}: no run was begun here (there is no run.json); give the folder of a run") from None
        except OSError as error:
            raise RunDirectoryError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(f"{path}: is not a promptmill run; take another output dir, or give --fresh to begin anew") from error
        if layout.partition(".")[0] != LAYOUT.partition(".")[0]:
            raise RunDirectoryError(
                f"{path}: has layout {layout}, this promptmill writes {LAYOUT}; "
                "go on with the version that began the run, or take another output dir"
            )
        return dict(manifest)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Put `run.json` in place, whole and durable; `layout` is added.

        Raises:
            StorageError: the disk refuses.
        """
        self._put_manifest(json.dumps({"layout": LAYOUT, **manifest}, indent=2).encode() + b"\n")

    def journal_dir(self, slug: str) -> Path:
        """Where the journal of a variant is; of one on a store a local copy, which each call brings up to date. Raises StorageError."""
        return self.path / "journal" / slug

    def open_journal(self, slug: str, run: RunSettings) -> JournalWriter:
        """The writer of a variant's journal; hold the lock. Raises as Journal does."""
        return FileJournal(self.journal_dir(slug), run.durability)

    def claim(self, slug: str) -> tuple[int, str | None]:
        """Take the next number of a variant's journal for a session over several processes; hold the lock.

        The second value says what was repaired. Raises DamagedError, StorageError.
        """
        return claim_number(self.journal_dir(slug))

    def open_lease(self, slug: str, lease: SegmentName, run: RunSettings) -> LeasedJournalWriter:
        """The writer of a lease's journal, for its holder."""
        return LeasedFileJournal(self.journal_dir(slug), lease, run.durability)

    def seal(self, slug: str, lease: SegmentName, reported: tuple[int, int]) -> list[tuple[str, bytes]]:
        """Decide, for good, what of a lease's journal counts: what is there now. Call it before the shard is handed on.

        Returns what its holder has not told of: the lines beyond `told` (his `appended_bytes`), each piece with where it is.
        Raises DamagedError, StorageError.
        """
        return unreported(seal(self.journal_dir(slug), lease), reported)

    def earlier(self, slug: str, lease: SegmentName) -> ResumeIndex:
        """What former holders of a lease's shard recorded in the same session. Raises DamagedError, StorageError, OSError."""
        from batch.journal.index import ResumeIndex

        return ResumeIndex.of(earlier_segments(self.journal_dir(slug), lease))

    def check_held(self) -> None:
        """See that the lock is still held. Raises StorageError when it is not; the kernel's always is."""

    def check_writable(self) -> None:
        """See that something can be put here. Raises StorageError."""

    def remove_folders(self, prefix: str) -> None:
        """Remove folders that nobody keeps, by how their names begin. Raises StorageError."""
        for folder in self.path.glob(f"{prefix}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def salvage(self, slug: str) -> list[Salvaged]:
        """Write the damaged segments of a journal anew; hold the lock. Raises StorageError."""
        return salvage_journal(self.journal_dir(slug))

    def fetch(self, *names: str) -> None:
        """Bring derived files under `path` up to date: folders (`scores`), or files by pattern (`errors.*`). Raises StorageError."""

    def publish(self, *paths: Path) -> list[Path | str]:
        """Make files and folders that were written under `path` those of the run; returns where they are. Raises StorageError."""
        return list(paths)

    def slugs(self) -> list[str]:
        """The variants that have a journal, sorted by name."""
        root = self.path / "journal"
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []

    def clear(self) -> str:
        """Begin anew; hold the lock. What was paid for is not deleted but moved to `old/<time>/`; returns a sentence that says so.

        Raises:
            StorageError: the disk refuses.
        """
        present = [entry for pattern in CONTENTS for entry in sorted(self.path.glob(pattern))]
        if not present:
            return f"Nothing of an earlier run was in {self.path}."
        try:
            aside = self._aside()
            for entry in present:
                entry.rename(aside / entry.name)
            sync_directory(aside)
            sync_directory(self.path)
        except OSError as error:
            raise StorageError(refusal(error, self.path)) from error
        return f"The earlier results were moved to {aside}; delete that folder when you need them no longer."

    def _aside(self) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = [stamp, *(f"{stamp}-{number}" for number in range(2, 1000))]
        aside = next(path for name in names if not (path := self.path / "old" / name).exists())
        aside.mkdir(parents=True)
        return aside

    def _read_manifest(self) -> bytes:
        return (self.path / "run.json").read_bytes()

    def _put_manifest(self, text: bytes) -> None:
        with replace_atomically(self.path / "run.json") as file:
            file.write(text)

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunDirectoryError(f"{self.path}: is a file, not a folder; take another output dir")
        Disk().make_directory(self.path)

    def _hold(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{self.path} is in use by {_holder(descriptor)}; wait for it, or stop it first") from None
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be locked ({error.strerror}); take an output dir on a local disk") from error
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}).encode() + b"\n", 0)


def _holder(descriptor: int) -> str:
    try:
        holder = orjson.loads(os.pread(descriptor, 4096, 0))
        return f"pid {holder['pid']} on host {holder['host']} since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "another runner"
