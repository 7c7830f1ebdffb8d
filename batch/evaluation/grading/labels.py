"""Keep people's labels of judged answers in a file; several raters may label the same answers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from batch.errors import StorageError
from batch.journal.disk import refusal
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of, open_run_directory
from batch.settings import ScoreSettings
from batch.storage import sync_directory

Label: TypeAlias = int | str
"""A step of the scale; of a pair "first", "tie" or "second"."""

PAIR_LABELS: Sequence[Label] = ("first", "tie", "second")


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """An item as shown to a person. `texts` are the answers in display order; `turned`: that is not the judge's first order."""

    key: str
    row_id: str
    question: str
    expected: str | None
    texts: tuple[str, ...]
    turned: bool
    judged: Label


def open_labels(judged: RunDirectory, settings: ScoreSettings) -> Labels:
    """Open the labels of one score of a run. Raises StorageError."""
    kept = open_run_directory(f"{address_of(judged)}/scores/calibration")
    kept.fetch(f"{settings.name}.jsonl")
    return Labels(kept.path / f"{settings.name}.jsonl", kept.publish)


class Labels:
    """The labels of one score, in a file that is appended to. `published` is called with it after each.

    The newest label of each rater counts. Several raters give the median label, or for a pair the most frequent one.
    """

    def __init__(self, path: Path, published: Callable[[Path], object] = lambda _: None) -> None:
        self._path = path
        self._published = published
        self._known: dict[str, dict[str, Label]] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                self._take(line)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def digest(self) -> str:
        """A hash that changes with every label; empty without labels."""
        known = json.dumps(sorted((key, sorted(labels.items())) for key, labels in self._known.items())).encode()
        return blake2b(known, digest_size=16).hexdigest() if self._known else ""

    @property
    def raters(self) -> list[str]:
        """All raters, in alphabetical order; the one without a name is ""."""
        return sorted({rater for labels in self._known.values() for rater in labels})

    def get(self, key: str) -> Label | None:
        """Return the combined label of all raters for the item `key`."""
        return _middle(list(self._known.get(key, {}).values()))

    def by_rater(self, key: str) -> Mapping[str, Label]:
        """Return each rater's newest label for the item `key`."""
        return self._known.get(key, {})

    def value(self, key: str, low: float, high: float) -> float | None:
        """Return the raters' mean step, scaled to 0 to 1; None without a label."""
        steps = [float(label) for label in self._known.get(key, {}).values() if isinstance(label, int)]
        return (sum(steps) / len(steps) - low) / (high - low) if steps else None

    def add(self, item: Unlabelled, label: Label, rater: str = "") -> None:
        """Keep a label, on the disk when this returns. Raises StorageError."""
        named = {"rater": rater} if rater else {}
        line = {"key": item.key, "id": item.row_id, "label": label, **named, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                # A line that a crash cut short must not take this one with it.
                file.write(b"\n" * (not _ends_a_line(self._path)) + json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._path.parent)
        except OSError as error:
            raise StorageError(refusal(error, self._path)) from error
        self._published(self._path)
        self._known.setdefault(item.key, {})[rater] = label

    def _take(self, line: str) -> None:
        try:
            found: Any = json.loads(line)
            self._known.setdefault(str(found["key"]), {})[str(found.get("rater", ""))] = found["label"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return


def _middle(labels: Sequence[Label]) -> Label | None:
    """Return the median step (the lower of the middle two); for pairs the most frequent label, where a tie of the raters means a tie."""
    steps = sorted(label for label in labels if isinstance(label, int))
    if steps:
        return steps[(len(steps) - 1) // 2]
    counts = Counter(labels).most_common(2)
    if len(counts) == 2 and counts[0][1] == counts[1][1]:
        return "tie"
    return counts[0][0] if counts else None


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
