"""Races that are fed from journals: in the input's order, clusters averaged, whatever else is there or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from batch.evaluation.racer import Racer
from batch.records import Outcome
from batch.settings import ScoreSettings
from tests.support.runs import FinishedRun
from tests.support.stores import outcome, write_journal


def outcomes(right: Sequence[bool | None]) -> list[Outcome]:
    """An answer for each row, right or wrong; none where None."""
    return [outcome(row, text="yes" if good else "no") for row, good in enumerate(right) if good is not None]


def run_of(path: Path, journals: Mapping[str, Sequence[Outcome]], rows: int, clusters: Sequence[str] = ()) -> FinishedRun:
    """A run whose right answers are all "yes"."""
    path.mkdir(exist_ok=True)
    lines = [{"text": str(row), "right": "yes", **({"group": clusters[row]} if clusters else {})} for row in range(rows)]
    return FinishedRun(path, lines, journals)


def racer_of(run: FinishedRun, cluster: str | None = None) -> Racer:
    """The race of a run by exact match."""
    return Racer(run.stored, ScoreSettings(name="s", kind="exact", expected="right", cluster=cluster), ())


def test_the_beaten_one_is_named_with_the_rows_that_it_took(tmp_path: Path) -> None:
    """One that is wrong in every second row is stopped after few rows; looking again finds nothing new."""
    run = run_of(tmp_path, {"a": outcomes([True] * 200), "b": outcomes([row % 2 == 0 for row in range(200)])}, 200)
    racer = racer_of(run)
    (stop,) = racer.look()
    assert (stop.variant, stop.beaten_by, racer.running) == ("b", "a", ("a",))
    assert 10 <= stop.after_rows <= 40
    assert racer.look() == ()


def test_what_came_early_counts_only_in_its_turn(tmp_path: Path) -> None:
    """A row that one of the two has yet to finish holds the pair up: later rows, answered already, say nothing before it is there."""
    wrong = [row % 2 == 0 for row in range(200)]
    late = [None if row == 3 else good for row, good in enumerate(wrong)]
    run = run_of(tmp_path, {"a": outcomes([True] * 200), "b": outcomes(late)}, 200)
    racer = racer_of(run)
    assert racer.look() == ()
    write_journal(run.directory.journal_dir("b"), outcome(3, text="no"))
    in_time = racer_of(run_of(tmp_path / "all", {"a": outcomes([True] * 200), "b": outcomes(wrong)}, 200))
    assert racer.look() == in_time.look()


def test_one_that_has_not_begun_holds_nobody_up(tmp_path: Path) -> None:
    """Of three, one has no outcome at all: the other two race."""
    run = run_of(tmp_path, {"a": outcomes([True] * 200), "b": outcomes([False] * 200), "c": []}, 200)
    (stop,) = racer_of(run).look()
    assert (stop.variant, stop.beaten_by) == ("b", "a")


def test_rows_of_one_cluster_are_one_observation(tmp_path: Path) -> None:
    """200 rows about four documents are four observations: too few to stop anyone. The same rows, each for itself, are enough."""
    journals = {"a": outcomes([True] * 200), "b": outcomes([False] * 200)}
    run = run_of(tmp_path, journals, 200, clusters=[f"document {row // 50}" for row in range(200)])
    assert racer_of(run, cluster="group").look() == ()
    assert racer_of(run).look() != ()


@pytest.mark.parametrize("size", [1, 3])
def test_looks_as_the_run_goes_and_one_look_at_its_end_find_the_same(tmp_path: Path, size: int) -> None:
    """Where the looks fall does not matter, with clusters neither."""
    rng = np.random.default_rng(1)
    right = {"a": rng.random(300) < 0.9, "b": rng.random(300) < 0.5}
    clusters = [f"document {row // size}" for row in range(300)]
    whole = run_of(tmp_path / "whole", {name: outcomes(list(marks)) for name, marks in right.items()}, 300, clusters)
    run = run_of(tmp_path / "grows", {"a": [], "b": []}, 300, clusters)
    racer = racer_of(run, "group")
    stops = []
    for start in range(0, 300, 17):
        for name, marks in right.items():
            write_journal(run.directory.journal_dir(name), *outcomes(list(marks))[start : start + 17])
        stops += racer.look()
    assert stops == list(racer_of(whole, "group").look())
    assert [stop.variant for stop in stops] == ["b"]


def test_equal_variants_are_not_stopped(tmp_path: Path) -> None:
    """30 seeded races of two equal models over 150 rows: none, or one by bad luck, stops anyone."""
    stopped = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        journals = {name: outcomes(list(rng.random(150) < 0.7)) for name in "ab"}
        stopped += bool(racer_of(run_of(tmp_path / str(seed), journals, 150)).look())
    assert stopped <= 1
