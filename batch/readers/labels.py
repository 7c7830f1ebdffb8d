"""Label input files by as much of their paths as distinguishes them, and read the columns that folders name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import unquote

from batch.records import InputFile

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def labelled(files: Sequence[str], folders: Sequence[str] = (), folder: str | None = None) -> list[InputFile]:
    """Return `files` with labels: the name, or for files of one name the shortest end of the path that only one of them has.

    Files below one of `folders` have the columns that the folders between name. Files that rows name are relative to `folder`.
    """
    parts = [PurePath(file.partition("?")[0] if "://" in file else file).parts for file in files]
    labels = [path[-1:] for path in parts]
    while True:
        counts = Counter(labels)
        # A file that is named twice has nothing that distinguishes it.
        longer = [path[-len(label) - 1 :] if counts[label] > 1 else label for path, label in zip(parts, labels, strict=True)]
        if longer == labels:
            return [
                InputFile(file, "/".join(label), partitions_of(file, folders), folder) for file, label in zip(files, labels, strict=True)
            ]
        labels = longer


def partitions_of(file: str, folders: Sequence[str]) -> dict[str, str | None]:
    """Return the columns that the names of folders below one of `folders` give a file: NAME=VALUE, as Hive and Spark write them.

    Values are text, with %XX decoded; __HIVE_DEFAULT_PARTITION__ is null.
    https://spark.apache.org/docs/latest/sql-data-sources-parquet.html#partition-discovery
    """
    root = next((folder for folder in folders if file.startswith(f"{folder.rstrip('/')}/")), None)
    if root is None:
        return {}
    parts = file[len(root.rstrip("/")) + 1 :].split("/")[:-1]
    named = [part.partition("=")[::2] for part in parts if "=" in part]
    return {unquote(name): None if value == _NO_VALUE else unquote(value) for name, value in named if name}
