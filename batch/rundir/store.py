"""A run directory on an object store, with a working copy on this machine.

Segments of the journal are put on the store as they are written, and fetched once when they are read, since they never change.
Derived files are written in the copy and put on the store whole.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson

from batch.errors import StorageError
from batch.journal.disk import storage_errors
from batch.journal.index import ResumeIndex
from batch.journal.leased import LeasedObjectJournal, earlier_segments
from batch.journal.ledger import LEDGER, Ledger, StoreLedger, read_events
from batch.journal.object_writer import ObjectJournal
from batch.journal.salvage import Salvaged
from batch.journal.segment_name import SegmentName
from batch.journal.segments import LAST, Segment, segment_names, segments
from batch.rundir.kept_names import ROWS, numbered
from batch.rundir.local import CONTENTS, RunDirectory
from batch.rundir.store_aside import move_aside
from batch.rundir.store_lock import Pulse, StoreLock
from batch.rundir.store_merging import Merging
from batch.rundir.unsent import Unsent
from batch.settings import RunSettings
from batch.storage import Mirror
from batch.storage.store_errors import StoreError
from batch.storage.stores import Stored, upload
from batch.storage.urls import StoreUrl

_FOLDERS = ("scores", "watch", "batches")
PROBE = ".probe-"
T = TypeVar("T")


class StoreRunDirectory(RunDirectory):
    """The folder of one run at `url`; `path` is the local copy. Every method raises StorageError when the store refuses."""

    def __init__(self, url: StoreUrl, pulse: Pulse | None = None) -> None:
        self._mirror = _mapped(partial(Mirror, url))
        self._pulse = pulse
        self._lock: StoreLock | None = None
        self._report: Callable[[str], None] | None = None
        # Not within the copy, which may be deleted at any time.
        self._unsent = Unsent(self._mirror.root.parent.parent / "unsent" / self._mirror.root.name)
        super().__init__(self._mirror.root)

    @property
    def place(self) -> str:
        """The address of the folder."""
        return str(self._mirror.url)

    @contextmanager
    def lock(self, report: Callable[[str], None] | None = None) -> Iterator[None]:
        """Lock the run directory: advisory, see StoreLock. Takes up to a minute when a holder on another machine has died.

        Raises:
            LockedError: another runner has the lock.
        """
        read, write = partial(self._mirror.read, "run.lock"), partial(self._mirror.write, "run.lock")
        lock = StoreLock(f"{self.place}: run.lock", read, write, self._pulse)
        _mapped(partial(lock.acquire, report or (lambda _: None)))
        self._lock, self._report = lock, report
        try:
            yield
        finally:
            self._lock = self._report = None
            lock.release()

    @property
    def exists(self) -> bool:
        """Whether the directory has a run."""
        return _mapped(partial(self._mirror.read, "run.json")) is not None

    def journal_dir(self, slug: str) -> Path:
        """Update the copy of a variant's journal; returns its path."""
        return _mapped(partial(self._mirror.fetch, f"journal/{slug}"))

    def open_journal(self, slug: str, run: RunSettings) -> ObjectJournal:
        """Open the writer of a variant's journal, with a new session number; hold the lock."""
        number, stored = self._next_number(slug)
        first, add, keep = SegmentName(number, part=1), partial(self._add, slug), partial(self._unsent.keep, slug)
        return ObjectJournal(first, add, run.flush_interval_s, keep, warn=self._report, repaired=stored)

    def claim(self, slug: str) -> tuple[int, str | None]:
        """Claim the next number of a variant's journal for a session over several processes, by an empty object of that number."""
        number, stored = self._next_number(slug)
        self._put(slug, f"{SegmentName(number).stem}.jsonl", b"")
        return number, stored

    def open_lease(self, slug: str, lease: SegmentName, run: RunSettings) -> LeasedObjectJournal:
        """Open the writer of a lease's journal; for the worker that has the lease, which needs no lock."""
        return LeasedObjectJournal(lease, partial(self._add, slug), run.flush_interval_s, partial(self._unsent.keep, slug))

    def seal(self, slug: str, lease: SegmentName, reported: tuple[int, int]) -> list[tuple[str, bytes]]:
        """Decide for good which object of a lease is the last that counts; objects are numbered without gaps, so no listing is needed."""
        found: list[tuple[str, bytes]] = []
        first, _ = reported
        while (content := _mapped(partial(self._mirror.read, self._object(slug, lease, first + len(found))))) is not None:
            found.append((str(self._mirror.url.joined(self._object(slug, lease, first + len(found)))), content))
        self._put(slug, f"{lease.stem}.sealed", orjson.dumps({LAST: first + len(found) - 1}))
        return found

    def earlier(self, slug: str, lease: SegmentName, read: Callable[[Sequence[Segment]], T]) -> T:
        """Read what earlier leases of the same shard recorded in this session, as far as their seals say."""
        # Into a folder of its own: other workers of this machine fetch into the shared copy at the same time.
        with storage_errors(self.path), tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
            folder = Path(temporary)
            for generation in range(1, lease.generation):
                former = lease._replace(generation=generation)
                _mapped(partial(Merging(self._mirror, f"journal/{slug}").fetch, former, folder))
            return read(earlier_segments(folder, lease))

    def merge_lease(self, slug: str, lease: SegmentName, objects: int) -> None:
        """Merge the first `objects` objects of a finished lease."""
        if objects > 1:
            names = [lease._replace(part=part) for part in range(1, objects + 1)]
            _mapped(partial(Merging(self._mirror, f"journal/{slug}").merge, names))

    def merge_objects(self) -> None:
        """Merge the small objects of all journals; hold the lock."""
        for slug in self.slugs():
            _mapped(self._check)
            found = segments(self.journal_dir(slug))
            _mapped(partial(Merging(self._mirror, f"journal/{slug}").merge_all, [segment.name for segment in found if segment.end()]))

    def open_ledger(self) -> Ledger:
        """Open the record of what was submitted to Batch APIs: one object, written whole each time."""
        return StoreLedger(f"{self.place}/{LEDGER}", _mapped(partial(self._mirror.read, LEDGER)) or b"", self._write_ledger)

    def ledger_events(self) -> list[dict[str, Any]]:
        """Read what was submitted to Batch APIs."""
        return read_events(f"{self.place}/{LEDGER}", _mapped(partial(self._mirror.read, LEDGER)) or b"")[0]

    def has_ledger(self) -> bool:
        """Whether anything was submitted to a Batch API."""
        return _mapped(partial(self._mirror.read, LEDGER)) is not None

    def batch_folder(self) -> Path:
        """Update the copy of the files of batches; returns its path."""
        _mapped(partial(self._mirror.fetch, "batches"))
        return super().batch_folder()

    @property
    def is_local(self) -> bool:
        """Whether the directory is on a disk: it is not."""
        return False

    def discard(self, *paths: Path) -> None:
        """Remove files from the copy and from the store."""
        own = [path for path in paths if path.is_relative_to(self.path)]
        folders = {path.parent.relative_to(self.path).as_posix() for path in own}
        # Some were in the copy only: results that were fetched to be read.
        stored = {str(each.url) for folder in folders for each in _mapped(partial(self._mirror.listing, folder.removeprefix(".")))}
        for name in [path.relative_to(self.path).as_posix() for path in own]:
            if str(self._mirror.url.joined(name)) in stored:
                _mapped(partial(self._mirror.delete, name))
        super().discard(*paths)

    def check_lock(self) -> None:
        """Check that this process still has the lock, without a request to the store."""
        _mapped(self._check)

    def check_writable(self) -> None:
        """Check that the store can be written to."""
        name = f"{PROBE}{secrets.token_hex(8)}"
        _mapped(partial(self._mirror.write, name, b""))
        _mapped(partial(self._mirror.delete, name))

    def remove_folders(self, prefix: str) -> None:
        """Remove the temporary folders whose names begin with `prefix`, from the store and from the copy."""
        super().remove_folders(prefix)
        for name in _mapped(partial(self._mirror.folders, "")):
            if name.startswith(prefix):
                _mapped(partial(self._mirror.delete_folder, name))

    def salvage(self, slug: str) -> list[Salvaged]:
        """Rewrite the damaged segments of a journal and put them on the store, the damaged ones beside them; hold the lock."""
        # Only the copy may be damaged.
        self._mirror.forget(f"journal/{slug}")
        done = super().salvage(slug)
        changed = [path for salvaged in done for path in (salvaged.aside, salvaged.path) if path is not None]
        _mapped(partial(self._mirror.publish, changed))
        return done

    def slugs(self) -> list[str]:
        """List the variants that have a journal, sorted by name."""
        return _mapped(partial(self._mirror.folders, "journal"))

    def rows_place(self, name: str) -> str:
        """Return the address of a file of kept rows."""
        return str(self._mirror.url.joined(f"{ROWS}/{name}"))

    def keep_rows(self, made: Path, stem: str) -> str:
        """Put a file of rows on the store; hold the lock. Returns its name."""
        _mapped(self._check)
        name = numbered(made, stem, [each.url.name for each in self._folder(ROWS)])
        _mapped(partial(upload, made, self._mirror.url.joined(f"{ROWS}/{name}")))
        return name

    def drop_rows(self, kept: str) -> None:
        """Remove all kept rows but the file named `kept`; hold the lock."""
        _mapped(self._check)
        for each in self._folder(ROWS):
            if each.url.name != kept:
                _mapped(partial(self._mirror.delete, f"{ROWS}/{each.url.name}"))

    def fetch(self, *names: str) -> None:
        """Update the local copy of derived files: folders (`scores`), or files by pattern (`errors.*`)."""
        for name in names:
            _mapped(partial(self._mirror.fetch if name in _FOLDERS else self._mirror.fetch_files, name))

    def publish(self, *paths: Path) -> list[Path | str]:
        """Put files and folders of the copy on the store, each file atomically; returns their addresses."""
        places: list[Path | str] = []
        for path in paths:
            if path.is_dir():
                _mapped(partial(self._mirror.publish_folder, path.name))
                places.append(str(self._mirror.url.joined(path.name)))
            else:
                places += _mapped(partial(self._mirror.publish, [path]))
        return places

    def clear(self) -> str:
        """Start over; hold the lock. Moves what was paid for to `old/<time>/` instead of deleting it; returns a sentence that says so.

        A crash in between leaves a journal with gaps, which is refused until --fresh is given again.
        """
        self._check()
        aside = f"old/{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"
        moved = _mapped(partial(move_aside, self._mirror, self._unsent, aside, CONTENTS, ("journal", ROWS, *_FOLDERS)))
        if not moved:
            return f"Nothing of an earlier run was in {self.place}."
        return f"The earlier results were moved to {self._mirror.url.joined(aside)}; delete that folder when you need them no longer."

    def _next_number(self, slug: str) -> tuple[int, str | None]:
        """The next number of a journal, after storing what an earlier session could not store; the second value says what was stored."""
        names = segment_names(self.journal_dir(slug))
        number = names[-1].number + 1 if names else 1
        if not self._unsent.files(slug):
            return number, None
        # Only what the journal lacks: an earlier session may have put these outcomes and ended before it removed the files.
        missing = self._unsent.missing(slug, ResumeIndex.load(self.journal_dir(slug)))
        if missing:
            self._put(slug, f"{SegmentName(number, part=1).stem}.jsonl", missing)
            number += 1
        self._unsent.remove(slug)
        count = missing.count(b"\n")
        return number, f"{self.place}: {count:,} answers that the store had not taken earlier are stored now" if count else None

    def _add(self, slug: str, name: str, data: bytes) -> None:
        self._check()
        self._mirror.add(f"journal/{slug}/{name}", data)

    def _write_ledger(self, data: bytes) -> None:
        _mapped(self._check)
        _mapped(partial(self._mirror.write, LEDGER, data))

    def _put(self, slug: str, name: str, data: bytes) -> None:
        _mapped(partial(self._add, slug, name, data))

    @staticmethod
    def _object(slug: str, lease: SegmentName, part: int) -> str:
        return f"journal/{slug}/{lease._replace(part=part).stem}.jsonl"

    def _folder(self, name: str) -> list[Stored]:
        return _mapped(partial(self._mirror.listing, name, recursive=True))

    def _check(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _read_manifest(self) -> bytes:
        found = _mapped(partial(self._mirror.read, "run.json"))
        if found is None:
            raise FileNotFoundError
        return found

    def _put_manifest(self, text: bytes) -> None:
        _mapped(self._check)
        _mapped(partial(self._mirror.write, "run.json", text))


def _mapped(work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreError as error:
        raise StorageError(f"{error}; then give the same command again" if error.lasting else str(error)) from error
    except OSError as error:
        raise StorageError(f"the local copy of the run directory: {error}; see XDG_CACHE_HOME, then give the same command again") from error
