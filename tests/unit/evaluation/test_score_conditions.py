"""Conditions on scores, as export takes them."""

from __future__ import annotations

import pytest

from batch.evaluation.score_conditions import score_conditions


@pytest.mark.parametrize("text", ["", "x", "a >= b", ">= 1", "a => 1", "a >= 1 or b >= 1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    """Only comparisons of a score with a number, joined by and, are conditions."""
    with pytest.raises(ValueError, match=r"no condition|no score"):
        score_conditions([text], ["a", "b"])


def test_conditions_are_comparisons() -> None:
    """All operators; names with hyphens and spaces; an unscored answer meets none."""
    first, second = score_conditions(["my score > 0.5 and names-it != -1e1"], ["my score", "names-it"])
    assert (first.score, first.operator, first.bound, second.bound) == ("my score", ">", 0.5, -10)
    assert [first.holds(value) for value in (0.5, 0.6, None, float("nan"))] == [False, True, False, False]
    assert not second.holds(None)
