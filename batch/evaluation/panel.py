"""Combine the scores that several judges or scorers gave the same answers into one score, a panel, and measure their agreement."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from batch.evaluation.answers import Answer, by_row
from batch.evaluation.figures.collect import FigureCollector
from batch.evaluation.formatting import listed, percent
from batch.evaluation.grading.call_stats import CallStats
from batch.evaluation.parquet import SCORES_SCHEMA, Columns, TaskKey, described, open_table
from batch.evaluation.scorers import FIGURE_OPTIONS, scorer_version
from batch.evaluation.statistics.agreement import krippendorff_alpha
from batch.evaluation.table import ScoreState, ScoreValue
from batch.settings import ScoreSettings

PANEL = "panel"
# What keeps a member from scoring, the model's own failure first.
_ORDER: Sequence[ScoreState] = ("failed", "missing", "unscored")


@dataclass(slots=True)
class PanelStats(CallStats):
    """The members of a panel and their agreement: Krippendorff's alpha (interval), and the share of answers with equal scores."""

    kind: ClassVar[Literal["judge", "embedder", "panel"]] = "panel"

    members: list[str] = field(default_factory=list)
    alpha: float | None = None
    alike: float | None = None

    @property
    def note(self) -> str | None:
        """A short note to show beside the score."""
        return None if self.alpha is None else f"alpha {self.alpha:z.2f} of {len(self.members)} members"

    def sentences(self, variants: Sequence[str], dollars: str) -> Iterator[tuple[str, tuple[str, ...]]]:  # noqa: ARG002 - a panel calls nothing
        """Yield sentences, which name no variant."""
        if self.alpha is None:
            yield f"The members {listed(self.members)} have no differing scores in common: their agreement beyond chance is unknown.", ()
            return
        text = f"The members {listed(self.members)} agree by Krippendorff's alpha {self.alpha:z.2f}"
        yield f"{text}; all of them gave the same score to {percent(self.alike or 0.0)} of what they scored together.", ()


def score_panels(scores: Sequence[ScoreSettings], folder: Path, answers: Callable[[], Iterable[Answer]]) -> tuple[str, ...]:
    """Bring the panels among `scores` up to date with their members' files; returns the names of the recomputed ones.

    `answers` are read for the figures of a panel that has some.

    Raises:
        InputError: a row has no usable weight.
        SetupError: a file of figures is missing.
        StorageError: the disk refuses.
    """
    return tuple(score.name for score in scores if score.kind == PANEL and _update(score, folder, answers))


def _update(score: ScoreSettings, folder: Path, answers: Callable[[], Iterable[Answer]]) -> bool:
    members: list[str] = list(score.options["of"])
    sources = [folder / f"{name}.parquet" for name in members]
    known: list[list[Any]] = []
    for source in sources:
        own = described(source)
        known.append([source.stat().st_mtime_ns, own.get("state"), own.get("version")])
    state = blake2b(json.dumps([known, scorer_version(score)]).encode(), digest_size=16).hexdigest()
    path = folder / f"{score.name}.parquet"
    if described(path).get("state") == state:
        return False
    tasks = _tasks(sources)
    values = np.array([[np.nan if cell is None or cell.value is None else cell.value for cell in cells] for _, cells in tasks.values()])
    stats = PanelStats(
        model=f"{'the weighted mean' if isinstance(score.options['of'], Mapping) else 'a panel'} of {listed(members)}",
        members=members,
        cost_usd=None,
    )
    if len(values):
        stats.alpha = krippendorff_alpha(values.T, metric="interval")
        together = values[~np.isnan(values).any(axis=1)]
        stats.alike = float(np.mean(np.ptp(together, axis=1) == 0)) if len(together) else None
    vote = str(score.options.get("vote", "mean"))
    of = score.options["of"]
    if isinstance(of, Mapping):
        weights = [float(of[name]) for name in members]
        combined = {task: (row_id, _weighted(cells, members, weights)) for task, (row_id, cells) in tasks.items()}
    else:
        combined = {task: (row_id, _together(cells, members, vote)) for task, (row_id, cells) in tasks.items()}
    figures = _figures(score, combined, answers)
    with open_table(path, SCORES_SCHEMA) as writer:
        for (row, variant, repeat), (row_id, cell) in combined.items():
            writer.add((row, row_id, variant, repeat, cell.state, cell.value, cell.extracted, cell.reason, None))
        about = {"state": state, "version": "", "score": score.name, "kind": score.kind}
        writer.describe({**about, "asked": stats.document(), "figures": figures})
    return True


def _figures(
    score: ScoreSettings, combined: Mapping[TaskKey, tuple[str, ScoreValue]], answers: Callable[[], Iterable[Answer]]
) -> list[dict[str, Any]]:
    if not FIGURE_OPTIONS & score.options.keys():
        return []
    collector = FigureCollector(score)
    for row, of_row in by_row(answers()):
        known = [(each, combined.get((row.ordinal, each.variant, each.repeat))) for each in of_row]
        scored = [(each, found[1]) for each, found in known if found is not None]
        if scored:
            collector.add_row(row, [each for each, _ in scored], [cell for _, cell in scored])
    return collector.document()


def _tasks(sources: Sequence[Path]) -> Mapping[TaskKey, tuple[str, list[ScoreValue | None]]]:
    """Map every task that a member has a line for, in the order of rows, to each member's score."""
    names = ("row", "variant", "repeat", "id", "value", "state", "extracted", "reason")
    found: dict[TaskKey, tuple[str, list[ScoreValue | None]]] = {}
    for at, path in enumerate(sources):
        columns = Columns(path)
        for row, variant, repeat, row_id, *value in zip(*(columns.values(name) for name in names), strict=True):
            cells = found.setdefault((row, variant, repeat), (row_id, [None] * len(sources)))[1]
            cells[at] = ScoreValue(*value)
    order = {variant: at for at, variant in enumerate(dict.fromkeys(variant for _, variant, _ in found))}
    return dict(sorted(found.items(), key=lambda item: (item[0][0], order[item[0][1]], item[0][2])))


def _together(cells: Sequence[ScoreValue | None], members: Sequence[str], vote: str) -> ScoreValue:
    """Combine the members' scores; unscored unless at least half of the members gave one."""
    given = [cell.value for cell in cells if cell is not None and cell.value is not None]
    votes = ", ".join(f"{name} {_shown(cell)}" for name, cell in zip(members, cells, strict=True))
    if 2 * len(given) < len(members):
        states = [cell.state for cell in cells if cell is not None]
        return ScoreValue(None, next((state for state in _ORDER if state in states), "missing"), None, votes)
    if vote == "median":
        value = float(np.median(given))
    elif vote == "majority":
        value = (np.sign(sum(1 if each > 0.5 else -1 if each < 0.5 else 0 for each in given)) + 1) / 2
    else:
        value = sum(given) / len(given)
    return ScoreValue(float(value), "scored", f"{value:.3g}", votes)


def _weighted(cells: Sequence[ScoreValue | None], members: Sequence[str], weights: Sequence[float]) -> ScoreValue:
    """Return the weighted mean of scores that measure different things; without one of them there is none, so that failing does not pay."""
    parts = ", ".join(f"{name} {_shown(cell)}" for name, cell in zip(members, cells, strict=True))
    states = ["missing" if cell is None else cell.state for cell in cells if cell is None or cell.value is None]
    if states:
        return ScoreValue(None, next((state for state in _ORDER if state in states), "missing"), None, parts)
    values = [cell.value for cell in cells if cell is not None and cell.value is not None]
    value = sum(weight * each for weight, each in zip(weights, values, strict=True)) / sum(weights)
    return ScoreValue(float(value), "scored", f"{value:.3g}", parts)


def _shown(cell: ScoreValue | None) -> str:
    return "none" if cell is None else cell.state if cell.value is None else f"{cell.value:.3g}"
