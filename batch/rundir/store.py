"""A run directory on an object store, worked on in a copy on this machine.

The journal's segments are put on the store as they come and fetched from it when they are read, each once (they never change).
Derived files are made in the copy and put on the store whole.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import orjson

from batch.errors import StorageError
from batch.journal.leased import LeasedObjectJournal, earlier_segments
from batch.journal.object_writer import ObjectJournal
from batch.journal.salvage import Salvaged
from batch.journal.segments import LAST, SegmentName, read_seal, segment_names
from batch.rundir.local import CONTENTS, RunDirectory
from batch.rundir.store_lock import Pulse, StoreLock
from batch.settings import RunSettings
from batch.storage import Mirror
from batch.storage.store_errors import StoreError
from batch.storage.stores import Stored
from batch.storage.urls import StoreUrl

if TYPE_CHECKING:
    from batch.journal.index import ResumeIndex

_FOLDERS = ("scores",)
PROBE = ".probe-"
T = TypeVar("T")


class StoreRunDirectory(RunDirectory):
    """One run's folder at `url`; `path` is its copy. Every method raises StorageError when the store refuses."""

    def __init__(self, url: StoreUrl, pulse: Pulse | None = None) -> None:
        self._mirror = _told(partial(Mirror, url))
        self._pulse = pulse
        self._lock: StoreLock | None = None
        super().__init__(self._mirror.root)

    @property
    def place(self) -> str:
        """Its address."""
        return str(self._mirror.url)

    @contextmanager
    def lock(self, notice: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the run directory: advisory, see StoreLock. A holder on another machine who died is waited for up to a minute.

        Raises:
            LockedError: another runner holds it.
        """
        read, write = partial(self._mirror.read, "run.lock"), partial(self._mirror.write, "run.lock")
        lock = StoreLock(f"{self.place}: run.lock", read, write, self._pulse)
        _told(partial(lock.acquire, notice or (lambda _: None)))
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            lock.release()

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return _told(partial(self._mirror.read, "run.json")) is not None

    def journal_dir(self, slug: str) -> Path:
        """The copy of a variant's journal, brought up to date."""
        return _told(partial(self._mirror.fetch, f"journal/{slug}"))

    def open_journal(self, slug: str, run: RunSettings) -> ObjectJournal:
        """The writer of a variant's journal, under a session number of its own; hold the lock."""
        names = segment_names(self.journal_dir(slug))
        number = names[-1].number + 1 if names else 1
        return ObjectJournal(SegmentName(number, part=1), partial(self._add, slug), run.flush_interval_s)

    def claim(self, slug: str) -> tuple[int, str | None]:
        """Take the next number of a variant's journal for a session over several processes, for good: by an object of that number."""
        names = segment_names(self.journal_dir(slug))
        number = names[-1].number + 1 if names else 1
        self._put(slug, f"{SegmentName(number).stem}.jsonl", b"")
        return number, None

    def open_lease(self, slug: str, lease: SegmentName, run: RunSettings) -> LeasedObjectJournal:
        """The writer of a lease's journal, for its holder, who holds no lock."""
        return LeasedObjectJournal(lease, partial(self._add, slug), run.flush_interval_s)

    def seal(self, slug: str, lease: SegmentName, reported: tuple[int, int]) -> list[tuple[str, bytes]]:
        """Decide, for good, which of a lease's objects counts as the last: no listing is needed, since they are numbered without gaps."""
        found: list[tuple[str, bytes]] = []
        first, _ = reported
        while (content := _told(partial(self._mirror.read, self._object(slug, lease, first + len(found))))) is not None:
            found.append((str(self._mirror.url.joined(self._object(slug, lease, first + len(found)))), content))
        self._put(slug, f"{lease.stem}.sealed", orjson.dumps({LAST: first + len(found) - 1}))
        return found

    def earlier(self, slug: str, lease: SegmentName) -> ResumeIndex:
        """What former holders of a lease's shard recorded in the same session: what the seals say, and no more."""
        from batch.journal.index import ResumeIndex

        with tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
            folder = Path(temporary)
            for generation in range(1, lease.generation):
                former = lease._replace(generation=generation)
                _told(partial(self._mirror.fetch_apart, [f"journal/{slug}/{former.stem}.sealed"], folder))
                last = read_seal(former.seal(folder)).get(LAST, 0)
                _told(partial(self._mirror.fetch_apart, [self._object(slug, former, part) for part in range(1, last + 1)], folder))
            return ResumeIndex.of(earlier_segments(folder, lease))

    def check_held(self) -> None:
        """See that the lock is still held, without asking the store."""
        _told(self._check)

    def check_writable(self) -> None:
        """See that something can be put here."""
        name = f"{PROBE}{secrets.token_hex(8)}"
        _told(partial(self._mirror.write, name, b""))
        _told(partial(self._mirror.delete, name))

    def remove_folders(self, prefix: str) -> None:
        """Remove folders that nobody keeps, by how their names begin, from the store and from the copy."""
        super().remove_folders(prefix)
        for name in _told(partial(self._mirror.folders, "")):
            if name.startswith(prefix):
                _told(partial(self._mirror.delete_folder, name))

    def salvage(self, slug: str) -> list[Salvaged]:
        """Write the damaged segments of a journal anew and put them on the store, the damaged ones beside them; hold the lock."""
        # The copy may be what is damaged.
        self._mirror.forget(f"journal/{slug}")
        done = super().salvage(slug)
        changed = [path for salvaged in done for path in (salvaged.aside, salvaged.path) if path is not None]
        _told(partial(self._mirror.publish, changed))
        return done

    def slugs(self) -> list[str]:
        """The variants that have a journal, sorted by name."""
        return _told(partial(self._mirror.folders, "journal"))

    def fetch(self, *names: str) -> None:
        """Bring derived files of the copy up to date: folders (`scores`), or files by pattern (`errors.*`)."""
        for name in names:
            _told(partial(self._mirror.fetch if name in _FOLDERS else self._mirror.fetch_files, name))

    def publish(self, *paths: Path) -> list[Path | str]:
        """Put files and folders of the copy on the store, each file whole; returns their addresses."""
        places: list[Path | str] = []
        for path in paths:
            if path.is_dir():
                _told(partial(self._mirror.publish_folder, path.name))
                places.append(str(self._mirror.url.joined(path.name)))
            else:
                places += _told(partial(self._mirror.publish, [path]))
        return places

    def clear(self) -> str:
        """Begin anew; hold the lock. What was paid for is not deleted but moved to `old/<time>/`; returns a sentence that says so.

        A crash in between leaves a journal with gaps, which is refused until --fresh is given again.
        """
        self._check()
        aside = f"old/{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"
        moved = 0
        for pattern in CONTENTS:
            found = self._folder(pattern) if pattern in ("journal", *_FOLDERS) else self._files(pattern)
            moves = [(each, f"{aside}/{each.url.key.removeprefix(self._mirror.url.key).lstrip('/')}") for each in reversed(found)]
            _told(partial(self._mirror.move, moves))
            moved += len(moves)
            if moves and pattern == "journal":
                # What stands for its folders is not moved, and would name variants that the next job may not have.
                _told(partial(self._mirror.delete_folder, pattern))
        if not moved:
            return f"Nothing of an earlier run was in {self.place}."
        return f"The earlier results were moved to {self._mirror.url.joined(aside)}; delete that folder when you need them no longer."

    def _add(self, slug: str, name: str, data: bytes) -> None:
        self._check()
        self._mirror.add(f"journal/{slug}/{name}", data)

    def _put(self, slug: str, name: str, data: bytes) -> None:
        _told(partial(self._add, slug, name, data))

    @staticmethod
    def _object(slug: str, lease: SegmentName, part: int) -> str:
        return f"journal/{slug}/{lease._replace(part=part).stem}.jsonl"

    def _folder(self, name: str) -> list[Stored]:
        return _told(partial(self._mirror.listing, name, recursive=True))

    def _files(self, pattern: str) -> list[Stored]:
        return [each for each in _told(self._mirror.listing) if fnmatchcase(each.url.name, pattern)]

    def _check(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _read_manifest(self) -> bytes:
        found = _told(partial(self._mirror.read, "run.json"))
        if found is None:
            raise FileNotFoundError
        return found

    def _put_manifest(self, text: bytes) -> None:
        _told(self._check)
        _told(partial(self._mirror.write, "run.json", text))


def _told(work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreError as error:
        raise StorageError(f"{error}; then give the same command again" if error.lasting else str(error)) from error
