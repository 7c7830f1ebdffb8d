"""Families of tests, main effects of sweeps, rank intervals and Bradley-Terry strengths."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.multitest import multipletests

from batch.evaluation.grading.judge_stats import JudgeStats, PairStats
from batch.evaluation.statistics.bradley_terry import bradley_terry
from batch.evaluation.statistics.effects import main_effects
from batch.evaluation.table import ScoreTable, State
from batch.evaluation.verdict import reach_verdicts
from tests.support.evaluation import table_of


def test_holm_over_all_scores_on_request() -> None:
    """Each score is a family by default and says so; together, p is Holm's over all comparisons, as statsmodels computes it."""
    rng = np.random.default_rng(0)
    tables = [table_of((rng.random((3, 200, 1)) < np.array([0.6, 0.7, 0.75])[:, None, None]).astype(float)) for _ in range(2)]
    alone = reach_verdicts([(table, {}) for table in tables])
    together = reach_verdicts([(table, {}) for table in tables], together=True)
    raw = [pair.p for verdict in alone for pair in verdict.findings.pairs]
    assert len(raw) == 6
    expected = multipletests(raw, method="holm")[1]
    assert [pair.p_holm for verdict in together for pair in verdict.findings.pairs] == pytest.approx(expected)
    assert "p is corrected over 3 of all 6 comparisons of the 2 scores" in alone[0].sentences[-1].text
    assert together[0].sentences[-1].text == "p is corrected over all 6 comparisons of the 2 scores (Holm)."
    assert together[0].findings.tests == 6
    one = reach_verdicts([(tables[0], {})], together=True)[0]
    assert [pair.p_holm for pair in one.findings.pairs] == [pair.p_holm for pair in alone[0].findings.pairs]


def sweep(effect: float, rng: np.random.Generator, rows: int = 400) -> tuple[ScoreTable, list[dict[str, str]]]:
    """Two models at three temperatures with two prompts: the model matters, the prompt by `effect`, the temperature not at all."""
    levels = [
        {"model": m, "temperature": t, "prompt": p, "top_p": "1"} for m in ("x", "y") for t in ("0", "0.5", "1") for p in ("p1", "p2")
    ]
    difficulty = rng.normal(0, 1, rows)
    chance = [0.6 * (one["model"] == "x") + effect * (one["prompt"] == "p2") for one in levels]
    noise = rng.normal(0, 1, (len(levels), rows))
    values = (np.array(chance)[:, None] + noise > difficulty).astype(float)[:, :, None]
    states = np.full(values.shape, State.SCORED, dtype=np.uint8)
    return ScoreTable("s", True, tuple(map(str, range(len(levels)))), tuple(map(str, range(rows))), None, values, states), levels


def test_main_effects_of_a_sweep() -> None:
    """12 variants are 66 pairs, but three factors: each is compared over all variants that differ in nothing else, row by row."""
    table, levels = sweep(0.4, np.random.default_rng(1))
    effects = {(one.factor, one.pair.first, one.pair.second): one for one in main_effects(table, levels)}
    model, prompt = effects["model", "x", "y"], effects["prompt", "p2", "p1"]
    assert (model.matched, prompt.matched) == (6, 6)
    assert model.pair.separable
    assert prompt.pair.separable
    right = table.values[:, :, 0].mean(axis=1)
    better = [at for at, one in enumerate(levels) if one["model"] == "x"]
    worse = [at for at, one in enumerate(levels) if one["model"] == "y"]
    assert model.pair.difference.estimate == pytest.approx(right[better].mean() - right[worse].mean())
    assert [one.factor for one in effects.values()] == ["model", "temperature", "temperature", "temperature", "prompt"]
    verdict = reach_verdicts([(table, {"levels": levels})])[0]
    said = [sentence.text for sentence in verdict.sentences if sentence.kind == "effect"]
    assert said[0].startswith("model x against y: +")
    assert "over 6 matched pairs of variants" in said[0]


def test_no_effect_is_seldom_found() -> None:
    """Of a factor that changes nothing, at most 5 % of the simulated sweeps show an effect, corrected for its levels."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(60):
        table, levels = sweep(0.0, rng, rows=120)
        found += any(one.pair.separable for one in main_effects(table, levels) if one.factor == "temperature")
    assert found <= 8


def test_few_variants_have_pairs_and_no_effects() -> None:
    """One factor, or three variants, are compared in pairs: there is nothing to average over."""
    table = table_of(np.ones((3, 10, 1)))
    assert main_effects(table, [{"model": "a"}, {"model": "b"}, {"model": "c"}]) == ()
    four = table_of(np.ones((4, 10, 1)))
    assert main_effects(four, [{"model": each} for each in "abcd"]) == ()
    assert main_effects(four, []) == ()


def test_rank_intervals_cover_the_true_ranks() -> None:
    """The places shown are an interval that has the true rank of every variant in at least 95 % of the simulated benchmarks.

    Ranks from simultaneous tests of all pairs: Mogstad, Romano, Shaikh & Wilhelm 2024, Rev. Econ. Stud. 91:476.
    """
    rng = np.random.default_rng(3)
    truth = np.array([0.85, 0.8, 0.75, 0.6])
    missed = 0
    for _ in range(100):
        table = table_of((rng.random((4, 250, 1)) < truth[:, None, None]).astype(float))
        standings = reach_verdicts([(table, {})])[0].findings.standings
        ranks = {one.variant: (one.rank_best, one.rank_worst) for one in standings}
        missed += not all(ranks[name][0] <= at + 1 <= ranks[name][1] for at, name in enumerate(table.variants))
    assert missed <= 9


def test_bradley_terry_equals_a_logistic_regression() -> None:
    """Many pairs: strengths and standard errors are statsmodels' GLM's; a chance against the mean; one that won all stays finite."""
    names, true = ["a", "b", "c", "d"], np.array([0.8, 0.2, -0.3, -0.7])
    rng = np.random.default_rng(4)
    won, design, outcome = np.zeros((4, 4)), [], []
    for first in range(4):
        for second in range(first + 1, 4):
            wins = rng.binomial(3000, 1 / (1 + np.exp(true[second] - true[first])))
            won[first, second], won[second, first] = wins, 3000 - wins
            row = np.zeros(4)
            row[first], row[second] = 1, -1
            design.append(row[:3] - row[3])
            outcome.append([wins, 3000 - wins])
    fitted = GLM(np.array(outcome), np.array(design), family=Binomial()).fit()
    found = {one.variant: one for one in bradley_terry(names, won)}
    for at, name in enumerate("abc"):
        assert found[name].strength == pytest.approx(fitted.params[at], abs=0.002)
        assert (found[name].high - found[name].low) / 2 == pytest.approx(1.96 * fitted.bse[at], rel=0.01)
    assert sum(one.strength for one in found.values()) == pytest.approx(0, abs=1e-9)
    sure = bradley_terry(["a", "b", "c"], np.array([[0, 9, 9], [0, 0, 5], [0, 4, 0]]))
    assert sure[0].variant == "a"
    assert np.isfinite(sure[0].strength)
    assert 0.5 < sure[0].share < 1


def test_strengths_are_shown_beside_win_shares() -> None:
    """Three variants whose pairs were judged have strengths in the sentences; two have their share of won pairs alone."""
    three = JudgeStats("p/j", pairs=[PairStats("a", "b", 30, 5, 15), PairStats("a", "c", 40, 0, 10), PairStats("b", "c", 25, 10, 15)])
    assert [one.variant for one in three.strengths] == ["a", "b", "c"]
    assert any("Bradley–Terry strengths" in text for text, _ in three.sentences("abc", "$0"))
    assert JudgeStats("p/j", pairs=[PairStats("a", "b", 30, 5, 15)]).strengths == ()
    assert JudgeStats("p/j", pairs=[PairStats("a", "b", 3, 0, 1), PairStats("a", "c"), PairStats("b", "c")]).strengths == ()
