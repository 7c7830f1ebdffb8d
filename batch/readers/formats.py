"""The input formats. A new one: a module with the functions of `record.Format`, a row of FORMATS, a name in settings.InputFormat."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import cast

from batch.errors import InputError
from batch.readers.record import PACKED, Format
from batch.storage import file_name


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
        return cast("Format", import_module(f"batch.readers.{self.module}"))


FORMATS = {
    "jsonl": InputFormatEntry("jsonl", (".jsonl", ".ndjson", ".json")),
    "csv": InputFormatEntry("csv", (".csv", ".tsv")),
    "parquet": InputFormatEntry("parquet", (".parquet", ".pq"), typed=True),
    "arrow": InputFormatEntry("arrow", (".arrow", ".feather"), typed=True),
    "openai-batch": InputFormatEntry("jsonl"),
}


def format_of(file: str, wanted: str) -> InputFormatEntry:
    """Return the format named `wanted`, or with "auto" the one that the file's name ends with. Raises InputError."""
    suffixes = [suffix.lower() for suffix in PurePath(file_name(file)).suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    inner = next(iter(suffixes[-2:-1] if packed else suffixes[-1:]), None)
    found = FORMATS.get(wanted) or next((entry for entry in FORMATS.values() if inner in entry.suffixes), None)
    if found is None:
        endings = ", ".join(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
        names = ", ".join(f'"{name}"' for name, entry in FORMATS.items() if entry.suffixes)
        raise InputError(
            f"{file}: the name does not say the format; names end with {endings} (text also with .gz or .zst); "
            f"or set format in [input] to one of {names} (jsonl: one JSON object per line)"
        )
    if found.typed and packed:
        raise InputError(f"{file}: {found.module.capitalize()} is packed by itself; unpack the {suffixes[-1]} first")
    return found
