"""Find the changes from one scored side to another: pair variants by name, join rows by id, and test them as the models of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.errors import InputError
from batch.evaluation.statistics.intervals import TIE, Codes, Floats, Interval, mean_interval
from batch.evaluation.statistics.paired import Pair, PairedTest, compare_pairs
from batch.evaluation.statistics.scores import row_scores
from batch.evaluation.table import ScoreTable, State

STATE_NAMES = {State.SCORED: "scored", State.UNSCORED: "unscored", State.FAILED: "failed", State.MISSING: "missing"}


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSide:
    """One of the two sides: its name for people, and a table for each score. `versions` are hashes of the scores' settings."""

    name: str
    tables: Mapping[str, ScoreTable]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row whose strict score changed. Scores are from 0 to 1; `state` is how the newer side's worst task of the row ended."""

    id: str
    before: float
    after: float
    state: str


@dataclass(frozen=True, slots=True)
class VariantChange:
    """One variant before and after, on the rows that both sides finished.

    `pair` is the test, the newer side minus the older one. `worse` and `better` are the rows whose score fell or rose, the largest
    change first. `only_before` and `only_after` are ids of rows that only one side finished; they are in no figure.
    """

    before: str
    after: str
    score_before: Interval | None
    score_after: Interval | None
    pair: Pair
    worse: tuple[RowChange, ...]
    better: tuple[RowChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """One score on both sides. `other_settings`: the two sides were scored by different settings of it."""

    score: str
    binary: bool
    other_settings: bool
    variants: tuple[VariantChange, ...]


@dataclass(frozen=True, slots=True)
class RunChanges:
    """All changes. Variants and scores of only one side are named and not compared."""

    before: str
    after: str
    scores: tuple[ScoreChange, ...]
    variants_only_before: tuple[str, ...]
    variants_only_after: tuple[str, ...]
    scores_only_before: tuple[str, ...]
    scores_only_after: tuple[str, ...]


def find_changes(
    before: ScoredSide,
    after: ScoredSide,
    renamed: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
    gap: float = 0.02,
) -> RunChanges:
    """Compare two sides; `renamed` maps a variant's older name to its newer one. The same sides give the same changes.

    Raises:
        InputError: the sides have no score, or no variant, in common.
    """
    common = [name for name in after.tables if name in before.tables]
    if not common:
        theirs = [f"{side.name} has {', '.join(side.tables) or 'none'}" for side in (before, after)]
        raise InputError(f"there is no score in common: {'; '.join(theirs)}")
    names_before, names_after = _variants(before), _variants(after)
    pairs = pair_variants(names_before, names_after, renamed or {})
    if not pairs:
        raise InputError(
            f"no variant is in both: {before.name} has {', '.join(names_before)}; {after.name} has {', '.join(names_after)}; "
            "--pair OLD=NEW compares two of different names"
        )
    # A fixed seed: the same two sides give the same figures, in a terminal, in a report and in a gate.
    rng = np.random.default_rng(0)
    scores = []
    for name in common:
        tables = before.tables[name], after.tables[name]
        changes = _changes(*tables, pairs, PairedTest(alpha, gap, _plain(*tables)), rng)
        scores.append(ScoreChange(name, _binary(*tables), before.versions.get(name) != after.versions.get(name), changes))
    return RunChanges(
        before.name,
        after.name,
        tuple(scores),
        tuple(name for name in names_before if name not in {old for old, _ in pairs}),
        tuple(name for name in names_after if name not in {new for _, new in pairs}),
        tuple(name for name in before.tables if name not in common),
        tuple(name for name in after.tables if name not in common),
    )


def pair_variants(before: Sequence[str], after: Sequence[str], renamed: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pair the variants: renamed ones, those of equal name, and the only variant of each side.

    Raises:
        InputError: a renamed variant does not exist.
    """
    for names, known in ((renamed.keys(), before), (renamed.values(), after)):
        for name in names:
            if name not in known:
                raise InputError(f"--pair names the variant {name!r}; there are: {', '.join(known)}")
    pairs = dict(renamed)
    taken = set(pairs.values())
    pairs |= {name: name for name in before if name in after and name not in pairs and name not in taken}
    # A newer version of a model often has another name; with one on each side there is no doubt.
    if not pairs and len(before) == len(after) == 1:
        pairs = {before[0]: after[0]}
    return [(old, pairs[old]) for old in before if old in pairs]


def _variants(side: ScoredSide) -> list[str]:
    return list(dict.fromkeys(name for table in side.tables.values() for name in table.variants))


def _binary(before: ScoreTable, after: ScoreTable) -> bool:
    return before.binary and after.binary


def _plain(before: ScoreTable, after: ScoreTable) -> bool:
    return _binary(before, after) and before.repeats == after.repeats == 1


def _changes(
    before: ScoreTable, after: ScoreTable, pairs: Sequence[tuple[str, str]], test: PairedTest, rng: np.random.Generator
) -> tuple[VariantChange, ...]:
    known = [(old, new) for old, new in pairs if old in before.variants and new in after.variants]
    if not known:
        return ()
    ids, at_before, at_after = _joined(before.row_ids, after.row_ids)
    clusters = _clusters(before, after, at_before, at_after)
    olds = _aligned(before, at_before)[[before.variants.index(old) for old, _ in known]]
    news = _aligned(after, at_after)[[after.variants.index(new) for _, new in known]]
    tested = compare_pairs([(new, old) for old, new in known], news - olds, clusters, test, rng)
    states = _states(after, at_after)
    return tuple(
        _change(names, pair, ids, (old, new), states[after.variants.index(names[1])], (clusters, test))
        for names, pair, old, new in zip(known, tested, olds, news, strict=True)
    )


def _joined(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[int], list[int]]:
    """List all ids, the newer side's first, with their places on each side; -1 where a side has no such row."""
    first, second = ({name: at for at, name in enumerate(ids)} for ids in (before, after))
    # The newer side first: its outputs are in this order.
    ids = [*second, *(name for name in first if name not in second)]
    return ids, [first.get(name, -1) for name in ids], [second.get(name, -1) for name in ids]


def _aligned(table: ScoreTable, places: Sequence[int]) -> Floats:
    """Return strict scores of shape (variants, places); NaN where there is no row."""
    # Place -1 reads the column that is appended here: no row.
    strict = np.append(row_scores(table).strict, np.full((len(table.variants), 1), np.nan), axis=1)
    aligned: Floats = strict[:, np.asarray(places, dtype=np.intp)]
    return aligned


def _states(table: ScoreTable, places: Sequence[int]) -> Floats:
    """Return the highest state code of each row's tasks: a failed call ranks above an unscored answer, and that above a score."""
    # Place -1 reads the column that is appended here: a missing row.
    worst = np.append(table.states.max(axis=2), np.zeros((len(table.variants), 1), dtype=np.uint8), axis=1)
    states: Floats = worst[:, np.asarray(places, dtype=np.intp)]
    return states


def _clusters(before: ScoreTable, after: ScoreTable, at_before: Sequence[int], at_after: Sequence[int]) -> Codes | None:
    if before.clusters is None and after.clusters is None:
        return None
    names = []
    for place, (old, new) in enumerate(zip(at_before, at_after, strict=True)):
        known = after.clusters[new] if after.clusters is not None and new >= 0 else None
        known = known if known is not None or before.clusters is None or old < 0 else before.clusters[old]
        names.append(f"row {place}" if known is None else known)
    return np.unique(np.asarray(names), return_inverse=True)[1]


def _change(
    names: tuple[str, str],
    pair: Pair,
    ids: Sequence[str],
    scores: tuple[Floats, Floats],
    states: Floats,
    how: tuple[Codes | None, PairedTest],
) -> VariantChange:
    old, new = scores
    clusters, test = how
    both = ~np.isnan(old) & ~np.isnan(new)
    groups = None if clusters is None else clusters[both]
    intervals = [mean_interval(each[both], groups, plain=test.plain, level=1 - test.alpha) if both.any() else None for each in (old, new)]
    change = np.where(both, new - old, 0.0)
    order: list[int] = np.argsort(-np.abs(change), kind="stable").tolist()
    rows = [
        RowChange(ids[at], float(old[at]), float(new[at]), STATE_NAMES[State(int(states[at]))]) for at in order if abs(change[at]) > TIE
    ]
    return VariantChange(
        names[0],
        names[1],
        intervals[0],
        intervals[1],
        pair,
        tuple(row for row in rows if row.after < row.before),
        tuple(row for row in rows if row.after > row.before),
        tuple(ids[at] for at in _places(~np.isnan(old) & np.isnan(new))),
        tuple(ids[at] for at in _places(np.isnan(old) & ~np.isnan(new))),
    )


def _places(flags: NDArray[np.bool_]) -> list[int]:
    found: list[int] = np.flatnonzero(flags).tolist()
    return found
