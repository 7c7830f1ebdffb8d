"""Label input files by as much of their paths as distinguishes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from batch.records import InputFile


def labelled(files: Sequence[str]) -> list[InputFile]:
    """Return `files` with labels: the name, or for files of one name the shortest end of the path that only one of them has."""
    parts = [PurePath(file.partition("?")[0] if "://" in file else file).parts for file in files]
    labels = [path[-1:] for path in parts]
    while True:
        counts = Counter(labels)
        # A file that is named twice has nothing that distinguishes it.
        longer = [path[-len(label) - 1 :] if counts[label] > 1 else label for path, label in zip(parts, labels, strict=True)]
        if longer == labels:
            return [InputFile(file, "/".join(label)) for file, label in zip(files, labels, strict=True)]
        labels = longer
