"""Compute the scores of several runs over time, each compared row by row with the one before. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch.app.compare_runs import with_scores
from batch.app.sides import FileScoring, OpenedSide, ScoringTarget, open_target, score_side
from batch.errors import InputError
from batch.evaluation.statistics.intervals import Interval
from batch.evaluation.statistics.scores import summarise
from batch.evaluation.two_runs.changes import VariantChange, find_changes
from batch.storage import is_url

MANIFEST = "run.json"


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One variant's score in one run. `change` compares it with the last earlier run that has the variant; None for the first.

    `strict` is None when nothing is finished; `created` is the run's start, in ISO 8601.
    """

    run: str
    created: str
    score: str
    variant: str
    strict: Interval | None
    change: VariantChange | None


def history(targets: Sequence[str], job_file: Path | None = None) -> tuple[HistoryPoint, ...]:
    """Score all runs alike, by `job_file` or as the newest run that has scores; return them oldest first.

    A target is a run directory, or a folder of run directories.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
    """
    runs = [open_target(run) for run in dict.fromkeys(run for target in targets for run in _runs(target))]
    # ISO 8601 times in UTC sort as text; the address settles ties.
    runs.sort(key=lambda run: (_created(run), run.name))
    scoring = with_scores(FileScoring(()), runs[::-1], job_file)
    return tuple(_points((_created(run), run.name, score_side(run, scoring)) for run in runs))


def _runs(target: str) -> list[str]:
    path = Path(target)
    if is_url(target) or (path / MANIFEST).exists():
        return [target]
    found = sorted(str(each.parent) for each in path.glob(f"*/{MANIFEST}"))
    if not found:
        raise InputError(f"{target}: is no run directory, and holds none")
    return found


def _created(target: ScoringTarget) -> str:
    return target.run.manifest.created if target.run is not None and target.run.manifest is not None else ""


def _points(opened: Iterable[tuple[str, str, OpenedSide]]) -> Iterator[HistoryPoint]:
    last: dict[tuple[str, str], OpenedSide] = {}
    for created, run, now in opened:
        for score, table in now.side.tables.items():
            for summary in summarise(table):
                before = last.get((score, summary.variant))
                change = None if before is None else _change(before, now, score, summary.variant)
                yield HistoryPoint(run, created, score, summary.variant, summary.strict, change)
                # Per variant, since a run may lack some of the variants.
                last[score, summary.variant] = now


def _change(before: OpenedSide, now: OpenedSide, score: str, variant: str) -> VariantChange | None:
    old, new = (replace(each.side, tables={score: each.side.tables[score]}) for each in (before, now))
    (found,) = find_changes(old, new).scores
    return next((change for change in found.variants if change.after == variant), None)
