"""Cohen's kappa against statsmodels, its interval by simulation, and Krippendorff's alpha against its published example."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from batch.evaluation.statistics.agreement import Weights, cohen_kappa, krippendorff_alpha


@pytest.mark.parametrize(("weights", "oracle"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_kappa_equals_statsmodels(weights: Weights, oracle: str | None) -> None:
    """Kappa, weighted and not; of 200 labels its interval is near the normal one of Fleiss, Cohen and Everitt."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 5, 200))
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    expected = cohens_kappa(table, wt=oracle)
    found = cohen_kappa(first.tolist(), second.tolist(), scale=range(5), weights=weights)
    assert found.kappa == pytest.approx(expected.kappa)
    assert (found.low, found.high) == pytest.approx((expected.kappa_low, expected.kappa_upp), abs=0.03)
    assert found.agreed == pytest.approx(np.mean(first == second))


def table_of(steps: int, agreement: float, use: list[float]) -> np.ndarray:
    """Shares of label pairs: a person uses the scale so; the judge says the same, or else a step that is near."""
    shares = np.zeros((steps, steps))
    for at, share in enumerate(use):
        near = np.array([0.0 if other == at else 0.5 ** abs(other - at) for other in range(steps)])
        shares[at] = share * ((1 - agreement) * near / near.sum() + agreement * np.eye(steps)[at])
    return shares


def coverage(labels: int, shares: np.ndarray, runs: int, rng: np.random.Generator) -> float:
    """The share of simulated labellings whose interval has the true kappa."""
    steps = len(shares)
    weights: Weights = "none" if steps == 2 else "quadratic"
    apart = np.subtract.outer(np.arange(steps), np.arange(steps)) ** 2
    credit = np.eye(2) if steps == 2 else 1 - apart / (steps - 1) ** 2
    chance = float(shares.sum(1) @ credit @ shares.sum(0))
    true = (float((shares * credit).sum()) - chance) / (1 - chance)
    hits = 0
    for counts in rng.multinomial(labels, shares.ravel(), size=runs):
        first, second = np.divmod(np.repeat(np.arange(steps * steps), counts), steps)
        found = cohen_kappa(first.tolist(), second.tolist(), scale=range(steps), weights=weights)
        hits += found.kappa is None or found.low <= true <= found.high
    return hits / runs


TWO, FIVE = [0.7, 0.3], [0.1, 0.15, 0.2, 0.3, 0.25]


@pytest.mark.parametrize(("labels", "agreement", "use"), [(20, 0.9, TWO), (50, 0.8, TWO), (20, 0.8, FIVE), (50, 0.6, FIVE)])
def test_kappas_interval_covers_at_few_labels(labels: int, agreement: float, use: list[float]) -> None:
    """At 20 and 50 labels, where the normal interval covers 73 to 90 %, simulated coverage is 95 % but for the simulation's error."""
    assert coverage(labels, table_of(len(use), agreement, use), 150, np.random.default_rng(labels)) >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("labels", [20, 30, 50])
@pytest.mark.parametrize("agreement", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("use", [TWO, [0.9, 0.1], FIVE, [0.02, 0.03, 0.05, 0.3, 0.6]])
def test_kappas_interval_covers_over_scales_and_agreements(labels: int, agreement: float, use: list[float]) -> None:
    """In 1,000 simulated labellings each: at least 92 %, over two and five steps, used evenly and not, agreed on seldom and often."""
    assert coverage(labels, table_of(len(use), agreement, use), 1000, np.random.default_rng(labels)) >= 0.92


def test_krippendorffs_alpha_equals_its_published_example() -> None:
    """Four raters and twelve units with gaps, as in Krippendorff 2011, section C: nominal 0.743, interval 0.849."""
    gap = np.nan
    values = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
            [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
        ]
    )
    assert krippendorff_alpha(values, metric="nominal") == pytest.approx(0.743, abs=0.0005)
    assert krippendorff_alpha(values, metric="interval") == pytest.approx(0.849, abs=0.0005)
    assert krippendorff_alpha(np.array([[1.0, 2.0], [1.0, 2.0]]), metric="nominal") == 1.0
    assert krippendorff_alpha(np.array([[1.0, 1.0], [1.0, 1.0]]), metric="nominal") is None
    assert krippendorff_alpha(np.array([[1.0, gap], [gap, 2.0]]), metric="interval") is None


def test_the_ends() -> None:
    """Full agreement is 1, full opposition negative; one label only says nothing beyond chance."""
    assert cohen_kappa(["a", "b", "a"], ["a", "b", "a"]).kappa == 1.0
    assert cohen_kappa(["a", "b"], ["b", "a"]).kappa == -1.0
    same = cohen_kappa(["a", "a"], ["a", "a"])
    assert (same.kappa, same.low, same.high, same.agreed) == (None, -1.0, 1.0, 1.0)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
@pytest.mark.parametrize("steps", [2, 3, 5, 7])
def test_agreement_by_chance_alone_is_exactly_0_on_every_machine(weights: Weights, steps: int) -> None:
    """Where the labels of one rater say nothing about the other's, kappa is 0 itself: no rounding of linear algebra shows through."""
    first = [one for one in range(steps) for other in range(steps)]
    second = [other for one in range(steps) for other in range(steps)]
    kappa = cohen_kappa(first, second, scale=range(steps), weights=weights).kappa
    assert kappa == 0
    assert f"{kappa:.2f}" == "0.00"
    assert cohen_kappa(first, [steps - 1] * len(first), scale=range(steps), weights=weights).kappa == 0


def test_what_makes_no_sense_is_refused() -> None:
    """Lists of different length, none at all, and labels off the scale are errors."""
    for first, second in ((["a"], ["a", "b"]), ([], [])):
        with pytest.raises(ValueError, match="one length"):
            cohen_kappa(first, second)
    with pytest.raises(ValueError, match="not on the scale: 6"):
        cohen_kappa([1, 6], [1, 2], scale=[1, 2, 3])
