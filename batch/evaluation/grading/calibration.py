"""Does a judge agree with a person? A sample of what it judged, labelled blind, and Cohen's kappa between the two.

Labels are kept in scores/calibration/NAME.jsonl, a line each, the newest of an answer counts. They belong to what was shown (question,
right answer, answers, scale) and not to the judge, so that the next judge, or the next rubric, can be compared with the same labels.
"""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from batch.errors import StorageError
from batch.evaluation.grading.judge_chats import DEFAULT_SCALE
from batch.evaluation.grading.judge_grader import judge_of
from batch.evaluation.grading.judge_replies import nearest_step
from batch.evaluation.grading.judge_scores import JudgedItem
from batch.evaluation.grading.judge_stats import PersonStats
from batch.evaluation.statistics.agreement import Agreement, cohen_kappa
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
    """What is shown to a person. `texts` are the answers in the order to be shown; `turned` says that it is not the judge's first order."""

    key: str
    row_id: str
    question: str
    expected: str | None
    texts: tuple[str, ...]
    turned: bool
    judged: Label


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a judge and a person agree. `table` counts (person's label, judge's label); `labels` are in order. None: nothing is labelled."""

    score: str
    judge: str
    sampled: int
    labelled: int
    labels: tuple[Label, ...]
    weights: str
    agreement: Agreement | None
    table: Mapping[tuple[Label, Label], int]


def labels_of(settings: ScoreSettings) -> tuple[Label, ...]:
    """What a person can say, in order."""
    return tuple(PAIR_LABELS) if settings.kind == "pairwise" else tuple(sorted(judge_of(settings).scale or DEFAULT_SCALE))


def draw(judged: Iterable[JudgedItem], settings: ScoreSettings, count: int) -> list[Unlabelled]:
    """A sample of what has a verdict, in an order that is by chance but the same each time; equal answers stand once."""
    shown = (item for one in judged if (item := _unlabelled(one, settings)) is not None)
    # Equal answers to a row come one after the other.
    once = (item for _, of_row in groupby(shown, lambda item: item.row_id) for item in {item.key: item for item in of_row}.values())
    return heapq.nsmallest(count, once, key=lambda item: item.key)


def _unlabelled(one: JudgedItem, settings: ScoreSettings) -> Unlabelled | None:
    item = one.item
    verdict: Label
    if one.judgement is not None:
        if one.judgement.preference is None or not item.calls:
            return None
        verdict = one.judgement.preference
    elif one.cell is not None and one.cell.value is not None:
        verdict = nearest_step(one.cell.value, judge_of(settings).scale)
    else:
        return None
    row = item.answers[0].row
    shown = [settings.kind, list(labels_of(settings)), row.id, item.question, item.expected, *item.texts]
    key = blake2b(json.dumps(shown).encode(), digest_size=12).hexdigest()
    # By the hash: half of the pairs, the same ones each time, so that a person's habit of a side is no agreement.
    turned = len(item.texts) == 2 and int(key[-1], 16) % 2 == 1
    return Unlabelled(key, row.id, item.question, item.expected, item.texts[::-1] if turned else item.texts, turned, verdict)


def open_labels(judged: RunDirectory, settings: ScoreSettings) -> Labels:
    """The labels of one score of a run. Raises StorageError."""
    kept = open_run_directory(f"{address_of(judged)}/scores/calibration")
    kept.fetch(f"{settings.name}.jsonl")
    return Labels(kept.path / f"{settings.name}.jsonl", kept.publish)


class Labels:
    """The labels of one score, in a file that is appended to. `published` is called with it after each."""

    def __init__(self, path: Path, published: Callable[[Path], object] = lambda _: None) -> None:
        self._path = path
        self._published = published
        self._known: dict[str, Label] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                self._take(line)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def digest(self) -> str:
        """A hash that is another one whenever a label is another one; empty without any."""
        known = json.dumps(sorted(self._known.items())).encode()
        return blake2b(known, digest_size=16).hexdigest() if self._known else ""

    def get(self, key: str) -> Label | None:
        """The newest label of what is shown under `key`."""
        return self._known.get(key)

    def add(self, item: Unlabelled, label: Label) -> None:
        """Keep a label, on the disk when this returns. Raises StorageError."""
        line = {"key": item.key, "id": item.row_id, "label": label, "at": datetime.now(UTC).isoformat(timespec="seconds")}
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
        self._known[item.key] = label

    def _take(self, line: str) -> None:
        try:
            found: Any = json.loads(line)
            self._known[str(found["key"])] = found["label"]
        # A line that a crash cut short: its label is asked for again.
        except (ValueError, KeyError, TypeError):
            return


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def as_judged(item: Unlabelled, label: Label) -> Label:
    """A label of what was shown, in the judge's first order (and the other way round)."""
    exchanged: Mapping[Label, Label] = {"first": "second", "second": "first"}
    return exchanged.get(label, label) if item.turned else label


def calibrate(settings: ScoreSettings, sample: Sequence[Unlabelled], labels: Labels) -> Calibration:
    """How the judge and the labels of the sample agree; kappa is weighted by squares on a scale of more than two steps."""
    order = labels_of(settings)
    both = [(label, item.judged) for item in sample if (label := labels.get(item.key)) in order and label is not None]
    weighted = settings.kind == "judge" and len(order) > 2
    agreement = None
    if both:
        person, judge = zip(*both, strict=True)
        agreement = cohen_kappa(person, judge, scale=order, weights="quadratic" if weighted else "none")
    return Calibration(
        settings.name,
        judge_of(settings).model,
        len(sample),
        len(both),
        order,
        "quadratic" if weighted else "none",
        agreement,
        Counter(both),
    )


class LabelledItems:
    """What a person has labelled of a judge's work, gathered while that goes by."""

    def __init__(self, settings: ScoreSettings, labels: Labels) -> None:
        self._settings = settings
        self._labels = labels
        self._found: dict[str, Unlabelled] = {}

    def add(self, one: JudgedItem) -> None:
        """Take what was judged, if it is labelled."""
        item = _unlabelled(one, self._settings) if len(self._labels) else None
        if item is not None and self._labels.get(item.key) is not None:
            self._found[item.key] = item

    @property
    def stats(self) -> PersonStats | None:
        """How the judge agrees with these labels; None where there are none."""
        found = calibrate(self._settings, list(self._found.values()), self._labels)
        if (agreement := found.agreement) is None:
            return None
        return PersonStats(found.labelled, agreement.kappa, agreement.low, agreement.high, agreement.agreed, found.weights)
