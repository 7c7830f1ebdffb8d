"""The score table: the seam between scorers and statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from batch.evaluation.table import ScoreTable, ScoreValue, State
from tests.support.evaluation import TableBuilder


def builder(binary: bool = True) -> TableBuilder:
    return TableBuilder("exact", binary=binary, variants=["a", "b"], row_ids=["r1", "r2", "r3"], repeats=2)


def test_marks_land_where_they_were_put_and_the_rest_is_missing() -> None:
    """A builder keeps each mark's place, value and state."""
    build = builder()
    build.put(1, 2, 0, ScoreValue(1.0, "scored", "4", "equal"))
    build.put(0, 0, 1, ScoreValue(None, "failed", None, "429"))
    build.put(0, 1, 1, ScoreValue(None, "unscored", None, "no number"))
    table = build.build()
    assert table.values[1, 2, 0] == 1.0
    assert np.count_nonzero(np.isnan(table.values)) == 11
    assert table.states[0, 0, 1] == State.FAILED
    assert table.states[0, 1, 1] == State.UNSCORED
    assert np.count_nonzero(table.states == State.MISSING) == 9
    assert table.repeats == 2


def test_a_built_table_does_not_change_with_its_builder() -> None:
    """A table is frozen: later marks do not reach it, and its arrays refuse to be written."""
    build = builder()
    table = build.build()
    build.put(0, 0, 0, ScoreValue(1.0, "scored", None, ""))
    assert math.isnan(table.values[0, 0, 0])
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0, 0] = 1.0


@pytest.mark.parametrize(
    ("cell", "binary"),
    [
        (ScoreValue(1.5, "scored", None, ""), False),
        (ScoreValue(-0.1, "scored", None, ""), False),
        (ScoreValue(0.5, "scored", None, ""), True),
        (ScoreValue(None, "scored", None, ""), True),
        (ScoreValue(0.0, "failed", None, ""), True),
    ],
)
def test_marks_that_make_no_sense_are_refused(cell: ScoreValue, binary: bool) -> None:
    """Values out of 0..1, a half in a right/wrong scorer, a scored task without value and a failed one with value are errors."""
    build = builder(binary)
    build.put(0, 0, 0, cell)
    with pytest.raises(ValueError, match=r"must be|when, and only when"):
        build.build()


def test_shapes_must_fit() -> None:
    """Arrays and names of different lengths are refused."""
    with pytest.raises(ValueError, match="must both be"):
        ScoreTable("s", True, ("a",), ("r",), None, np.full((2, 1, 1), np.nan), np.zeros((2, 1, 1), np.uint8))
    with pytest.raises(ValueError, match="clusters"):
        ScoreTable("s", True, ("a",), ("r",), ("c", "d"), np.full((1, 1, 1), np.nan), np.zeros((1, 1, 1), np.uint8))
