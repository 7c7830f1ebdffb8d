"""Read a run's stored scores: score tables, and the cost, time and failures of its variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.figures.collect import read_figures
from batch.evaluation.figures.figure import VariantFigures
from batch.evaluation.grading.call_stats import CallStats
from batch.evaluation.grading.embeddings import EmbeddingStats
from batch.evaluation.grading.judge_chats import DEFAULT_SCALE
from batch.evaluation.grading.judge_grader import judge_of
from batch.evaluation.grading.judge_stats import JudgeStats
from batch.evaluation.panel import PANEL, PanelStats
from batch.evaluation.parquet import Columns, described
from batch.evaluation.scorers import EMBEDDING, KINDS
from batch.evaluation.scoring import TASKS_FILE, scores_path
from batch.evaluation.table import ScoreTable, State
from batch.settings import ScoreSettings

_STATES = ("missing", "scored", "unscored", "failed")


@dataclass(frozen=True, slots=True)
class VariantStats:
    """Time, cost and failures of a variant's tasks, the same for all scores. Times are seconds, None where unknown.

    `cost_usd` is None unless every answer has a price. `failures` are counts by error code, the most frequent first.
    """

    variant: str
    tasks: int
    failed: int
    missing: int
    failures: Mapping[str, int]
    cost_usd: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    first_token_p50_s: float | None
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class ScoreResult:
    """One score. `columns` are the grouping columns, with a value per row of the table.

    `left_out` rows have no usable right value, and are in no figure; `left_out_example` says why, for one of them. `asked` are the
    statistics of the model that judged or embedded, for the scores that have one. `figures` are those of all answers of a variant.
    """

    settings: ScoreSettings
    table: ScoreTable
    columns: Mapping[str, tuple[str | None, ...]]
    left_out: int
    left_out_example: str | None
    asked: CallStats | None = None
    figures: tuple[VariantFigures, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All scores of a run, and the stats of its variants in the job's order. `fresh` names the scores that were recomputed."""

    scores: tuple[ScoreResult, ...]
    variants: tuple[VariantStats, ...]
    fresh: tuple[str, ...] = ()

    def find_options(self, score: ScoreResult) -> dict[str, Any]:
        """What the findings of one of the scores need besides its table, by the names of `FindOptions`."""
        costs = {stats.variant: stats.cost_usd for stats in self.variants}
        failures = {stats.variant: stats.failures for stats in self.variants}
        return {"costs": costs, "failures": failures, "columns": score.columns}


def read_evaluation(folder: Path, scores: Sequence[ScoreSettings], variants: Sequence[str], fresh: Sequence[str] = ()) -> Evaluation:
    """Read the files that `scoring.score_answers` brought up to date."""
    grouping = described(folder / TASKS_FILE)["columns"]
    tasks = Columns(folder / TASKS_FILE)
    rows, first = np.unique(tasks.array("row"), return_index=True)
    texts = {name: np.asarray(tasks.values(f"in:{name}"), dtype=object)[first] for name in grouping}
    stats = _stats(tasks, variants)
    return Evaluation(tuple(_judged(folder, score, variants, rows, texts) for score in scores), stats, tuple(fresh))


def _judged(
    folder: Path, score: ScoreSettings, variants: Sequence[str], rows: NDArray[Any], texts: Mapping[str, NDArray[Any]]
) -> ScoreResult:
    path = scores_path(folder, score)
    metadata, scores = described(path), Columns(path)
    known, first, at = np.unique(scores.array("row"), return_index=True, return_inverse=True)
    place = scores.codes("variant", variants), at, scores.array("repeat")
    shape = len(variants), len(known), int(place[2].max(initial=0)) + 1
    values, states = np.full(shape, np.nan), np.full(shape, State.MISSING, dtype=np.uint8)
    values[place], states[place] = scores.array("value"), scores.codes("state", _STATES)
    binary = _is_binary(score, values)
    ids = np.asarray(scores.values("id"), dtype=object)[first]
    where = np.searchsorted(rows, known)
    clusters = None
    if score.cluster is not None:
        named = texts[score.cluster][where]
        # Prefixes keep a row without a cluster apart from a cluster whose name is a number.
        clusters = tuple(f"of {text}" if text is not None else f"alone {row}" for text, row in zip(named, known, strict=True))
    # Only maj@k reads them, and it needs right/wrong scores and repeats.
    answers = _answers(scores, place, shape) if binary and shape[2] > 1 else None
    table = ScoreTable(score.name, binary, tuple(variants), tuple(ids), clusters, values, states, answers)
    columns = {name: tuple(texts[name][where]) for name in score.slices}
    figures = read_figures(metadata.get("figures", ()), variants)
    return ScoreResult(
        score, table, columns, metadata.get("left_out", 0), metadata.get("left_out_example"), _asked(score, metadata), figures
    )


def _answers(scores: Columns, place: tuple[NDArray[Any], ...], shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return a code for each extracted answer, equal for equal answers; -1 where nothing was extracted."""
    texts = scores.values("extracted")
    codes = {text: at for at, text in enumerate(dict.fromkeys(texts)) if text is not None}
    answers = np.full(shape, -1, dtype=np.int64)
    answers[place] = [codes.get(text, -1) for text in texts]
    return answers


def _asked(score: ScoreSettings, metadata: Mapping[str, Any]) -> CallStats | None:
    if score.kind == PANEL:
        return PanelStats.from_document(metadata["asked"])
    if score.asked is None:
        return None
    stats: type[CallStats] = JudgeStats if score.judge is not None else EmbeddingStats
    return stats.from_document(metadata["asked"])


def _is_binary(score: ScoreSettings, values: NDArray[Any]) -> bool:
    """Whether all scores are right or wrong. A judge may name a step between two, and a function what it likes."""
    may_be_graded = score.kind == "python" or (score.kind == "judge" and len(judge_of(score).scale or DEFAULT_SCALE) == 2)
    if may_be_graded:
        return not np.any((values > 0) & (values < 1))
    if score.kind == PANEL:
        return not np.any((values > 0) & (values < 1))
    if score.kind == EMBEDDING:
        return "threshold" in score.options
    return score.kind in KINDS and KINDS[score.kind].binary


def _stats(tasks: Columns, variants: Sequence[str]) -> tuple[VariantStats, ...]:
    codes = tasks.codes("variant", variants)
    failures = np.asarray([code or "" for code in tasks.values("failure")])
    failed, missing = failures != "", tasks.array("missing").astype(np.bool_)
    costs, latency, first_token = (tasks.array(name) for name in ("cost_usd", "latency_s", "first_token_s"))
    tokens = [np.nan_to_num(tasks.array(name).astype(np.float64)) for name in ("prompt_tokens", "completion_tokens")]
    stats = []
    for code, name in enumerate(variants):
        own = codes == code
        answered = own & ~failed & ~missing
        named, counts = np.unique(failures[own & failed], return_counts=True)
        # A sum that lacks some prices would make the variant look cheap.
        priced = answered.any() and not np.isnan(costs[answered]).any()
        stats.append(
            VariantStats(
                variant=name,
                tasks=int(own.sum()),
                failed=int((own & failed).sum()),
                missing=int((own & missing).sum()),
                # Stable: np.unique sorts the codes, which then settles ties.
                failures={str(named[at]): int(counts[at]) for at in np.argsort(-counts, kind="stable")},
                cost_usd=float(np.nansum(costs[own])) if priced else None,
                latency_p50_s=_quantile(latency[answered], 0.5),
                latency_p95_s=_quantile(latency[answered], 0.95),
                first_token_p50_s=_quantile(first_token[answered], 0.5),
                prompt_tokens=int(tokens[0][own].sum()),
                completion_tokens=int(tokens[1][own].sum()),
            )
        )
    return tuple(stats)


def _quantile(values: NDArray[Any], share: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if len(known) else None
