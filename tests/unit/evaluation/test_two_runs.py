"""Two sides compared row by row, baselines, and what changed in the job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from batch.errors import InputError
from batch.evaluation.table import ScoreTable, State
from batch.evaluation.two_runs.baseline import is_baseline, read_baseline, write_baseline
from batch.evaluation.two_runs.changes import ScoredSide, VariantChange, find_changes, pair_variants
from batch.evaluation.two_runs.formatting import change_sentences
from batch.evaluation.two_runs.job_changes import job_changes


def side(
    name: str, scores: dict[str, list[float | str | None]], ids: list[str] | None = None, version: str = "v", **more: object
) -> ScoredSide:
    """A side with one score "s": by variant a value per row, "unscored", "failed", or None for a missing task."""
    rows = len(next(iter(scores.values())))
    values, states = np.full((len(scores), rows, 1), np.nan), np.zeros((len(scores), rows, 1), dtype=np.uint8)
    for at, of_variant in enumerate(scores.values()):
        for row, value in enumerate(of_variant):
            if isinstance(value, str):
                states[at, row] = State[value.upper()]
            elif value is not None:
                values[at, row], states[at, row] = value, State.SCORED
    binary = bool(np.isin(values[~np.isnan(values)], (0, 1)).all())
    clusters = more.get("clusters")
    table = ScoreTable("s", binary, tuple(scores), tuple(ids or map(str, range(rows))), clusters, values, states)  # type: ignore[arg-type]
    return ScoredSide(name, {"s": table}, {"s": "v"})


def change(before: ScoredSide, after: ScoredSide) -> VariantChange:
    """The change of the only variant."""
    (score,) = find_changes(before, after).scores
    (found,) = score.variants
    return found


def test_2000_rows_with_30_worse_and_10_better_are_named_and_tested() -> None:
    """The rows by id, the difference on the rows of both, and McNemar's exact p as scipy's binomial test gives it."""
    old = [0.0] * 110 + [1.0] * 1890
    old[:100] = [1.0] * 100
    new = [0.0] * 30 + [1.0] * 1970
    found = change(side("old", {"m": old}), side("new", {"m": new}))
    assert [row.id for row in found.worse] == [str(at) for at in range(30)]
    assert [row.id for row in found.better] == [str(at) for at in range(100, 110)]
    assert found.pair.p == pytest.approx(binomtest(10, 40).pvalue)
    assert found.pair.difference.estimate == pytest.approx(-0.01)
    assert found.pair.difference.high < 0
    assert found.pair.separable


def test_rows_are_joined_by_id_and_those_of_one_side_are_named() -> None:
    """Another order changes nothing; rows that one side alone has finished are in no figure."""
    before = side("old", {"m": [1.0, 0.0, 1.0, None]}, ["a", "b", "c", "d"])
    after = side("new", {"m": [1.0, 1.0, 0.0, 1.0]}, ["e", "b", "a", "d"])
    found = change(before, after)
    assert found.pair.difference.rows == 2
    assert ([row.id for row in found.worse], [row.id for row in found.better]) == (["a"], ["b"])
    assert (found.only_before, found.only_after) == (("c",), ("e", "d"))


def test_a_row_that_now_fails_says_so() -> None:
    """A failed call and an unreadable answer count as wrong, and are told apart from a wrong answer."""
    found = change(side("old", {"m": [1.0, 1.0, 1.0]}), side("new", {"m": ["failed", "unscored", 0.0]}))
    assert [(row.id, row.state) for row in found.worse] == [("0", "failed"), ("1", "unscored"), ("2", "scored")]


def test_graded_scores_list_the_largest_change_first() -> None:
    """Rows that fell and rose by size; a difference of rounding is none."""
    before = side("old", {"m": [0.5, 0.5, 0.9, 0.1, 0.3]})
    after = side("new", {"m": [0.4, 0.5 + 1e-15, 0.1, 0.2, 0.9]})
    found = change(before, after)
    assert ([row.id for row in found.worse], [row.id for row in found.better]) == (["2", "0"], ["4", "3"])


def test_clusters_of_either_side_are_respected() -> None:
    """Copies within a cluster are one observation: ten rows of one document are no proof of a change."""
    old, new = {"m": [1.0] * 20}, {"m": [0.0] * 10 + [1.0] * 10}
    clusters = tuple(["doc"] * 10 + [f"d{at}" for at in range(10)])
    assert change(side("old", old), side("new", new)).pair.separable
    assert not change(side("old", old), side("new", new, clusters=clusters)).pair.separable
    assert not change(side("old", old, clusters=clusters), side("new", new)).pair.separable


@pytest.mark.parametrize(
    ("before", "after", "renamed", "pairs"),
    [
        (["a", "b"], ["b", "a", "c"], {}, [("a", "a"), ("b", "b")]),
        (["a"], ["b"], {}, [("a", "b")]),
        (["a", "b"], ["c"], {}, []),
        (["a", "b"], ["b", "c"], {"a": "c"}, [("a", "c"), ("b", "b")]),
        (["a", "b"], ["a"], {"b": "a"}, [("b", "a")]),
    ],
)
def test_variants_that_belong_together(before: list[str], after: list[str], renamed: dict[str, str], pairs: list[tuple[str, str]]) -> None:
    """Those of one name; the only ones of both sides; those that are named. No variant is in two pairs."""
    assert pair_variants(before, after, renamed) == pairs


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    """No score or variant in common, and an unknown variant of --pair, are errors that list what there is."""
    one, other = side("old", {"a": [1.0], "b": [1.0]}), side("new", {"c": [1.0], "d": [1.0]})
    with pytest.raises(InputError, match="no variant is in both: old has a, b; new has c, d; --pair"):
        find_changes(one, other)
    with pytest.raises(InputError, match="'x'; there are: a, b"):
        find_changes(one, other, {"x": "c"})
    with pytest.raises(InputError, match="no score in common: old has s; new has t"):
        find_changes(one, ScoredSide("new", {"t": other.tables["s"]}, {}))


def test_all_pairs_of_a_score_are_one_family() -> None:
    """Two variants that changed are corrected for two comparisons, and the sentence says so."""
    old, new = [1.0] * 100, [0.0] * 8 + [1.0] * 92
    found = find_changes(side("old", {"a": old, "b": old}), side("new", {"a": new, "b": new}))
    assert [one.pair.p_holm for one in found.scores[0].variants] == pytest.approx([2 * binomtest(0, 8).pvalue] * 2)
    assert "corrected for 2 comparisons" in next(text for _, text in change_sentences(found))


def test_a_baseline_is_small_and_gives_the_same_comparison(tmp_path: Path) -> None:
    """What was saved and read back compares as the run itself: states, clusters, graded scores; 2,000 rows take under 30 kB."""
    rng = np.random.default_rng(3)
    old = side("old", {"m": [*(rng.random(40) < 0.7).astype(float), "failed", "unscored", None]}, clusters=tuple("ab" * 21 + "a"))
    new = side("new", {"m": [*(rng.random(40) < 0.6).astype(float), 1.0, 1.0, 1.0]})
    path = tmp_path / "baselines/old.jsonl"
    write_baseline(old, path)
    assert is_baseline(path)
    assert not is_baseline(tmp_path / "none")
    assert find_changes(read_baseline(path), new) == find_changes(old, new)
    write_baseline(side("big", {"m": [1.0] * 2000}), path)
    assert path.stat().st_size < 30_000
    write_baseline(side("graded", {"m": [0.25, 1 / 3]}), path)
    assert change(read_baseline(path), side("new", {"m": [0.25, 0.5]})).better[0].before == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize("text", ["", "not json", '{"format": "promptmill-baseline", "version": 1}', "[1]"])
def test_a_damaged_baseline_is_refused_in_words(tmp_path: Path, text: str) -> None:
    """A file that is no whole baseline is an error with its name and how to mend it, never a traceback."""
    path = tmp_path / "b.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"b\.jsonl: is not a whole baseline"):
        read_baseline(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_baseline(tmp_path / "none")
    path.write_text('{"format": "promptmill-baseline", "version": 2}')
    with pytest.raises(InputError, match="update promptmill"):
        read_baseline(path)


def test_what_changed_in_the_job() -> None:
    """Settings by key, models by id, long texts around their first difference; where results are put is no change."""
    text = "x" * 200
    before = {"prompt": {"user": text + "a"}, "model": [{"id": "p/m", "temperature": 0}], "output": {"dir": "a"}, "run": {"repeats": 2}}
    after = {"prompt": {"user": text + "b"}, "model": [{"id": "p/m", "temperature": 0.7}, {"id": "p/n"}], "output": {"dir": "b"}}
    found = {one.key: one.text for one in job_changes(before, after)}
    assert list(found) == ["prompt.user", "model[p/m].temperature", "model[p/n].id", "run.repeats"]
    assert found["prompt.user"] == f'prompt.user: …"{"x" * 20}a" → …"{"x" * 20}b"'
    assert found["model[p/m].temperature"] == "model[p/m].temperature: 0 → 0.7"
    assert found["model[p/n].id"] == 'model[p/n].id: not set → "p/n"'
    assert job_changes(before, before) == ()
