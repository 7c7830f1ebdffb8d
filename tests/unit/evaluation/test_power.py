"""Needed rows: against statsmodels, and by simulating the power they promise."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from batch.evaluation.statistics.paired import mcnemar, required_rows, smallest_gap, unit_spread


@pytest.mark.parametrize(("gap", "spread"), [(0.02, 0.2), (0.01, 0.1), (0.05, 0.3)])
def test_small_gaps_need_what_statsmodels_says(gap: float, spread: float) -> None:
    """For gaps that are small against the discordance this is the paired z test's sample size, to 1 %."""
    oracle = NormalIndPower(ddof=0).solve_power(effect_size=gap / np.sqrt(spread), alpha=0.05, power=0.8, ratio=0)
    assert required_rows(gap, spread) == pytest.approx(oracle, rel=0.01)


def test_the_design_documents_example_comes_out() -> None:
    """A 2-pt gap at 20 % discordance needs about 3,900 rows, as DESIGN section 9 says."""
    assert round(required_rows(0.02, 0.2), -2) == 3900


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize(("gap", "spread"), [(0.05, 0.2), (0.1, 0.3), (0.03, 0.05), (0.2, 0.5), (0.02, 0.1)])
def test_the_rows_that_are_called_for_have_80_percent_power(gap: float, spread: float, alpha: float) -> None:
    """Simulated, exact McNemar finds the gap in 80 % of the runs with these rows, within two points of simulation error; not in 76 %."""
    rows = required_rows(gap, spread, alpha=alpha, exact=True)
    won, lost = (spread + gap) / 2, (spread - gap) / 2
    counts = np.random.default_rng(0).multinomial(rows, [won, lost, 1 - spread], size=4000)
    assert 0.78 <= np.mean([mcnemar(int(one[0]), int(one[1])) <= alpha for one in counts]) <= 0.825


def test_smallest_gap_is_the_inverse() -> None:
    """The smallest gap of as many rows as a gap needs is that gap; few rows show none."""
    for gap, spread in ((0.02, 0.2), (0.1, 0.15)):
        assert smallest_gap(required_rows(gap, spread), spread) == pytest.approx(gap, rel=0.005)
    assert smallest_gap(1, 0.2) == 1.0


def test_no_gap_is_refused() -> None:
    """A gap of 0 has no number of rows."""
    with pytest.raises(ValueError, match="infinitely"):
        required_rows(0, 0.2)


def test_the_spread_is_the_discordance_and_grows_with_clusters() -> None:
    """About the share of differing rows; never 0; copies within clusters count as one row."""
    rng = np.random.default_rng(1)
    differences = rng.choice([1.0, 0.0, -1.0], p=[0.1, 0.8, 0.1], size=2000)
    alone = unit_spread(differences, None)
    assert alone == pytest.approx(0.2, abs=0.02)
    assert unit_spread(np.repeat(differences, 4), np.repeat(np.arange(2000), 4)) == pytest.approx(4 * alone, rel=0.02)
    assert unit_spread(np.append(differences, np.nan), None) == alone
    assert 0 < unit_spread(np.zeros(98), None) == 0.02
    assert unit_spread(np.array([np.nan]), None) == 1.0
