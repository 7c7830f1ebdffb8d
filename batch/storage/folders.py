"""Which files of a folder are input: those that a job of Spark, or a table of Hive, reads.

Hidden names, beginning with a dot or an underscore, are passed over, and what Hadoop writes beside the data: _SUCCESS, .part-0.crc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batch.errors import InputError

_LOGS = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}

KindOf = Callable[[str], str | None]
"""Gives the format of a file; None for one that is no input."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over. A folder of a partition is not: its name is a column's."""
    return name.startswith((".", "_")) and "=" not in name


def check_no_log(folder: str, name: str) -> None:
    """Refuse a folder with the log of a table in it, by which some of its files do not count: rows that were deleted would be sent.

    Raises InputError.
    """
    if (kind := _LOGS.get(name)) is not None:
        remedy = "write the rows to count into another folder, or name the files: path = [...]"
        raise InputError(f"{folder}: is a table of {kind}, whose log ({name}) says which files count; {remedy}")


def chosen_of_folder(folder: str, files: Sequence[str], kind_of: KindOf) -> list[str]:
    """Return those of the `files` below `folder` that are input, sorted by path.

    Raises:
        InputError: there are none, or several formats.
    """
    root = folder.partition("?")[0].rstrip("/")
    kinds: dict[str, str] = {}
    visible = 0
    for file in sorted(files):
        parts = file.partition("?")[0][len(root) + 1 :].split("/")
        check_no_log(folder, parts[0])
        if any(map(is_hidden, parts)) or parts[-1].endswith(".crc"):
            continue
        visible += 1
        if (kind := kind_of(file)) is not None:
            kinds[file] = kind
    found = sorted(set(kinds.values()))
    if len(found) > 1:
        raise InputError(f"{folder}: has files of several formats ({', '.join(found)}); name those of one, for example {root}/*.{found[0]}")
    if not kinds:
        what = f"none of the {visible:,} files in it has a name that says its format; set format in [input]" if visible else "has no files"
        raise InputError(f"{folder}: {what}")
    return list(kinds)
