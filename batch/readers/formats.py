"""The input formats. A new one: a module with the functions of `record.Format`, a row of FORMATS, a name in settings.InputFormat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from batch.errors import InputError, PromptmillError
from batch.readers.record import DEFAULTS, EVERYTHING, PACKED, START, Format, ReadOptions, Record, Skip, TypedFormat
from batch.records import InputOffset
from batch.storage import file_name

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class InputFormatEntry:
    """One format: its module in this package, the endings of its files, and whether its columns are typed.

    Files of typed columns are compressed by themselves, and store null where a struct's field is absent.
    """

    module: str
    suffixes: tuple[str, ...] = ()
    typed: bool = False

    def load(self) -> Format:
        """Import the module when it is needed: some of them load pyarrow."""
        return _guarded(self.module, typed=self.typed)


class _Guarded:
    """A format's module, whose unexpected exceptions become InputError: whatever a file holds is at most the file's failure."""

    def __init__(self, module: TypedFormat) -> None:
        self._module = module

    def read(self, path: str, mark: InputOffset = START, skip: Skip = EVERYTHING, options: ReadOptions = DEFAULTS) -> Iterator[Record]:
        with _failing(path):
            yield from self._module.read(path, mark, skip, options)

    def marks(self, path: str, every: int, options: ReadOptions = DEFAULTS) -> tuple[int, list[InputOffset]]:
        with _failing(path):
            return self._module.marks(path, every, options)

    def count(self, path: str, options: ReadOptions = DEFAULTS) -> int:
        with _failing(path):
            return self._module.count(path, options)


class _GuardedTyped(_Guarded):
    """A typed format, guarded alike."""

    def schema(self, paths: Sequence[str]) -> pa.Schema | None:
        with _failing(", ".join(paths)):
            return self._module.schema(paths)


@cache
def _guarded(module: str, *, typed: bool) -> Format:
    imported = cast("TypedFormat", import_module(f"batch.readers.{module}"))
    return _GuardedTyped(imported) if typed else _Guarded(imported)


@contextmanager
def _failing(path: str) -> Iterator[None]:
    try:
        yield
    except PromptmillError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


FORMATS = {
    "jsonl": InputFormatEntry("jsonl", (".jsonl", ".ndjson", ".json")),
    "csv": InputFormatEntry("csv", (".csv", ".tsv")),
    "parquet": InputFormatEntry("parquet", (".parquet", ".pq"), typed=True),
    "arrow": InputFormatEntry("arrow", (".arrow", ".feather"), typed=True),
    "openai-batch": InputFormatEntry("jsonl"),
}


_WORKBOOK = "is a workbook of a spreadsheet; save the table as CSV there, and name that file"
_ARCHIVE = "is an archive; unpack it, and name the files in it"
# Files that are often given and hold no rows that can be read, by the ends of their names.
_FOREIGN = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), _WORKBOOK),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z"), _ARCHIVE),
    **dict.fromkeys((".pkl", ".pickle", ".npy", ".npz", ".h5"), "is a file of Python objects; write its rows with pandas: to_parquet(…)"),
    **dict.fromkeys((".yaml", ".yml", ".xml"), "cannot be read as rows; write one JSON object a line, into a .jsonl file"),
}


def kind_of(file: str, wanted: str) -> str | None:
    """Return the name of the format of a file in a folder: `wanted`, or with "auto" the one that its name says; None where it says none."""
    found = FORMATS.get(wanted) or _named(file)[0]
    return None if found is None else found.module


def _named(file: str) -> tuple[InputFormatEntry | None, str | None]:
    """Return the format that the name of a file says, and the ending that says that it is packed."""
    suffixes = [suffix.lower() for suffix in PurePath(file_name(file)).suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in PACKED else None
    inner = next(iter(suffixes[-2:-1] if packed else suffixes[-1:]), None)
    return next((entry for entry in FORMATS.values() if inner in entry.suffixes), None), packed


def format_of(file: str, wanted: str) -> InputFormatEntry:
    """Return the format named `wanted`, or with "auto" the one that the file's name ends with. Raises InputError."""
    named, packed = _named(file)
    found = FORMATS.get(wanted) or named
    if found is None and (known := _FOREIGN.get(PurePath(file_name(file)).suffix.lower())):
        raise InputError(f"{file}: {known}")
    if found is None:
        endings = ", ".join(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
        names = ", ".join(f'"{name}"' for name, entry in FORMATS.items() if entry.suffixes)
        raise InputError(
            f"{file}: the name does not say the format; names end with {endings} (text also with .gz or .zst); "
            f"or set format in [input] to one of {names} (jsonl: one JSON object per line)"
        )
    if found.typed and packed:
        raise InputError(f"{file}: {found.module.capitalize()} is packed by itself; unpack the {packed} first")
    return found
