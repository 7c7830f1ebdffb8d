"""The timeline of a run, read from its journals and from what was kept to watch it; it can be brought up to date again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batch.errors import PromptmillError
from batch.journal.attempts import SUFFIX, decode_attempt
from batch.journal.disk import open_to_read
from batch.journal.watching import SAMPLES, decode_sample
from batch.results.following import JournalFollower, JournalLine
from batch.results.timeline import Timeline
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.rundir.stored_run import StoredRun
from batch.rundir.watch_folder import fetched_watch_folder

Seen = Callable[[JournalLine, Mapping[str, Any]], None]


class RunTimeline:
    """Brings a timeline up to date; each call reads what was added. `seen` gets each record with its fields."""

    def __init__(self, directory: RunDirectory, seen: Seen | None = None, manifest: Manifest | None = None) -> None:
        self._directory = directory
        self._folder = fetched_watch_folder(directory)
        self._follower = JournalFollower(directory, manifest)
        self._seen = seen
        self._read: dict[int, int] = {}
        self.timeline = Timeline(attempts_kept=any(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else False)

    def update(self, enough: Callable[[], bool] = lambda: False) -> bool:
        """Read what is new, until there is `enough`; returns whether all was read. Raises StorageError, RunDirectoryError."""
        for block in self._follower.blocks():
            for line in block:
                fields = self.timeline.add_line(line.text)
                if fields is not None and self._seen is not None:
                    self._seen(line, fields)
            if enough():
                return False
        self._read_watched()
        return True

    def _read_watched(self) -> None:
        with suppress(OSError, PromptmillError):
            # The older half first: once a file becomes it, its inode is that of a file read already.
            for path in sorted(self._folder.glob("*.jsonl"), key=lambda each: (".1." not in each.name, each.name)):
                self._read_file(path)

    def _read_file(self, path: Path) -> None:
        status = path.stat()
        start = self._read.get(status.st_ino, 0)
        if start > status.st_size:
            # The number of a file that is gone was given to a new one.
            start = 0
        with open_to_read(path) as file:
            file.seek(start)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[status.st_ino] = start + len(whole)
        if path.name.endswith((SUFFIX, SUFFIX.replace(".jsonl", ".1.jsonl"))):
            self.timeline.add_attempts(filter(None, map(decode_attempt, whole.splitlines())))
            return
        name = path.name.partition(SAMPLES.removesuffix(".jsonl"))[0]
        for line in whole.splitlines():
            if (sample := decode_sample(line)) is not None:
                self.timeline.add_sample(name, sample)


def timeline_of(run: StoredRun) -> dict[str, Any]:
    """Read the whole timeline of a run. Raises StorageError, RunDirectoryError."""
    reading = RunTimeline(run.directory, manifest=run.manifest)
    reading.update()
    return reading.timeline.document()
