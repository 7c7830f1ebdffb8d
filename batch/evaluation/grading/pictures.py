"""The pictures that a judge sees beside an answer: those of the row, kept once each beside the judge's calls.

A call names a kept picture by the hash of its bytes, so that another picture makes another call, and the calls can be made again
when the input is gone. URLs are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch.errors import StorageError
from batch.journal.disk import refusal
from batch.prompts.files import RowFiles, values_of
from batch.prompts.parts import FileUrl, digest_of
from batch.prompts.templates import missing_column
from batch.readers.builders import InputFolders
from batch.records import Row
from batch.rundir.local import RunDirectory
from batch.settings.files import FileSettings
from batch.storage import replace_atomically

IMAGES = "images"
"""The column of a judge's calls that names its pictures."""
FOLDER = "files"


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a row: `names` as a call has them, and the bytes of those that are kept, by name."""

    names: tuple[str, ...] = ()
    kept: Mapping[str, bytes] = field(default_factory=dict)


class PictureReader:
    """Reads the pictures of rows, by the settings of the prompt whose answers are judged."""

    def __init__(self, columns: Sequence[str], settings: FileSettings) -> None:
        self._columns = columns
        self._settings = settings
        self._source = InputFolders()

    def of(self, row: Row) -> Pictures:
        """Return the pictures of a row. Raises RowError: missing_column, missing_file, refused_path or bad_file."""
        files = RowFiles(row, self._settings, self._source)
        names: list[str] = []
        kept: dict[str, bytes] = {}
        for column, value in self._values(row):
            file = files.load(value, column)
            if isinstance(file, FileUrl):
                names.append(file.url)
                continue
            name = f"{FOLDER}/{digest_of(file.raw)}.{file.kind.name}"
            names.append(name)
            kept[name] = file.raw
        return Pictures(tuple(names), kept)

    def _values(self, row: Row) -> Iterator[tuple[str, object]]:
        for column in self._columns:
            if column not in row.columns:
                raise missing_column(row, column)
            yield from ((column, value) for value in values_of(row.columns[column]))


class KeptPictures:
    """Keeps the pictures of calls in the folder of a score's run directory."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._folder = directory.path / FOLDER
        self._named: set[str] = set()

    def keep(self, kept: Mapping[str, bytes]) -> None:
        """Write the pictures that are not there yet. Raises StorageError."""
        for name, raw in kept.items():
            if name in self._named:
                continue
            self._named.add(name)
            path = self._directory.path / name
            if not _is_whole(path, len(raw)):
                _made(self._folder)
                with replace_atomically(path) as file:
                    file.write(raw)
                self._directory.publish(path)

    @property
    def count(self) -> int:
        """How many pictures the calls name."""
        return len(self._named)

    def drop_others(self) -> None:
        """Remove the pictures that no call names any more. Raises StorageError."""
        if not self._folder.is_dir():
            return
        others = [path for path in self._folder.iterdir() if f"{FOLDER}/{path.name}" not in self._named]
        if others:
            self._directory.discard(*others)


def _made(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
