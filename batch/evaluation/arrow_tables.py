"""Make Arrow tables of scores, standings, pairs and changes, for Python users and for files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import InputError
from batch.evaluation.findings import Findings
from batch.evaluation.scoring import scores_path
from batch.evaluation.statistics.paired import Pair
from batch.evaluation.two_runs.changes import RunChanges
from batch.evaluation.verdict import ScoreVerdict
from batch.settings import ScoreSettings
from batch.storage import replace_atomically

ArrowTable: TypeAlias = pa.Table

# Without `digest`, which only scoring reads.
_SAMPLE = ["id", "row", "variant", "repeat", "state", "value", "extracted", "reason"]
_STANDING = pa.schema(
    [
        *(("score", pa.string()), ("variant", pa.string()), ("rank_best", pa.int64()), ("rank_worst", pa.int64())),
        *((name, pa.float64()) for name in ("estimate", "low", "high", "answered", "coverage", "probability_best", "cost_usd")),
        *((name, pa.int64()) for name in ("scored", "unscored", "failed", "missing")),
    ]
)
_PAIR = pa.schema(
    [
        *(("score", pa.string()), ("first", pa.string()), ("second", pa.string())),
        *((name, pa.float64()) for name in ("difference", "low", "high", "p", "p_holm")),
        *((name, pa.int64()) for name in ("rows", "wins", "losses", "rows_for_gap")),
        ("separable", pa.bool_()),
    ]
)
_EFFECT = pa.schema(
    [
        *((name, pa.string()) for name in ("score", "factor", "first", "second")),
        ("also", pa.list_(pa.string())),
        *((name, pa.float64()) for name in ("difference", "low", "high", "p", "p_holm")),
        *((name, pa.int64()) for name in ("rows", "matched")),
        ("separable", pa.bool_()),
    ]
)
_CHANGE = pa.schema(
    [
        *(("score", pa.string()), ("before", pa.string()), ("after", pa.string())),
        *((name, pa.float64()) for name in ("estimate_before", "estimate_after", "difference", "low", "high", "p", "p_holm")),
        *((name, pa.int64()) for name in ("rows", "worse", "better", "only_before", "only_after")),
        ("separable", pa.bool_()),
    ]
)
_CHANGED_ROW = pa.schema(
    [
        *((name, pa.string()) for name in ("score", "variant", "id", "direction", "state")),
        *(("before", pa.float64()), ("after", pa.float64())),
    ]
)


def sample_table(folder: Path, scores: Sequence[ScoreSettings]) -> ArrowTable:
    """Make one line per score and task: state, value, extracted answer, reason."""
    tables = [pq.read_table(scores_path(folder, score), columns=_SAMPLE) for score in scores]
    named = [table.add_column(0, "score", [pa.array([score.name] * len(table))]) for score, table in zip(scores, tables, strict=True)]
    return pa.concat_tables(named) if named else pa.table({})


def standing_table(findings: Iterable[Findings]) -> ArrowTable:
    """Make one line per score and variant: rank, score with interval, coverage, cost, counts."""
    return _table(_STANDING, (_standing(of_score, at) for of_score in findings for at in range(len(of_score.standings))))


def _standing(findings: Findings, at: int) -> Mapping[str, Any]:
    one = findings.standings[at]
    summary, counts, interval = one.summary, one.summary.counts, one.summary.strict
    limits = {} if interval is None else {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    return {
        "score": findings.scorer,
        "variant": one.variant,
        "rank_best": one.rank_best,
        "rank_worst": one.rank_worst,
        "answered": summary.answered,
        "coverage": summary.coverage,
        "probability_best": one.probability_best,
        "cost_usd": one.cost.total,
        "scored": counts.scored,
        "unscored": counts.unscored,
        "failed": counts.failed,
        "missing": counts.missing,
        **limits,
    }


def pair_table(findings: Iterable[Findings]) -> ArrowTable:
    """Make one line per score and pair of variants, the better one first, with the test of their difference."""
    rows = (
        {
            "score": of_score.scorer,
            "first": pair.first,
            "second": pair.second,
            **_tested(pair),
            "wins": pair.wins,
            "losses": pair.losses,
            "rows_for_gap": pair.rows_for_gap,
        }
        for of_score in findings
        for pair in of_score.pairs
    )
    return _table(_PAIR, rows)


def effect_table(verdicts: Iterable[ScoreVerdict]) -> ArrowTable:
    """Make one line per score and two values of a factor of a sweep, the better value first, with the test of their difference."""
    rows = (
        {
            "score": verdict.findings.scorer,
            "factor": effect.factor,
            "first": effect.pair.first,
            "second": effect.pair.second,
            "also": list(effect.also),
            **_tested(effect.pair),
            "matched": effect.matched,
        }
        for verdict in verdicts
        for effect in verdict.effects
    )
    return _table(_EFFECT, rows)


def change_table(changes: RunChanges) -> ArrowTable:
    """Make one line per score and variant: the change between two runs, with its test."""
    rows = (
        {
            "score": score.score,
            "before": one.before,
            "after": one.after,
            "estimate_before": None if one.score_before is None else one.score_before.estimate,
            "estimate_after": None if one.score_after is None else one.score_after.estimate,
            **_tested(one.pair),
            "worse": len(one.worse),
            "better": len(one.better),
            "only_before": len(one.only_before),
            "only_after": len(one.only_after),
        }
        for score in changes.scores
        for one in score.variants
    )
    return _table(_CHANGE, rows)


def changed_rows_table(changes: RunChanges) -> ArrowTable:
    """Make one line per score, variant and row whose score fell ("worse") or rose ("better")."""
    rows = (
        {
            "score": score.score,
            "variant": one.after,
            "id": row.id,
            "direction": direction,
            "before": row.before,
            "after": row.after,
            "state": row.state,
        }
        for score in changes.scores
        for one in score.variants
        for direction, changed in (("worse", one.worse), ("better", one.better))
        for row in changed
    )
    return _table(_CHANGED_ROW, rows)


def _tested(pair: Pair) -> dict[str, Any]:
    """The cells that every tested difference has."""
    difference = pair.difference
    return {
        "difference": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "p": pair.p,
        "p_holm": pair.p_holm,
        "rows": difference.rows,
        "separable": pair.separable,
    }


def _table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> ArrowTable:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def write_table(table: ArrowTable, path: Path) -> None:
    """Write a table as lines of JSON or as Parquet, by the file's ending. Raises InputError for another one, StorageError."""
    if path.suffix not in {".jsonl", ".parquet"}:
        raise InputError(f"{path}: the name must end with .jsonl or .parquet")
    with replace_atomically(path) as file:
        if path.suffix == ".parquet":
            pq.write_table(table, file)
            return
        # In batches, so that not all lines are Python objects at once.
        for batch in table.to_batches(max_chunksize=4096):
            file.writelines(orjson.dumps(line) + b"\n" for line in batch.to_pylist())
