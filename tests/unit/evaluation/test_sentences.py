"""Verdicts on many variants: what could be said of each in the same words is said once, with the ends of the range."""

from __future__ import annotations

from typing import get_args

import numpy as np

from batch.evaluation.report.summary import _GROUPS
from batch.evaluation.sentences import SentenceKind
from batch.evaluation.table import ScoreTable, State
from batch.evaluation.verdict import ScoreVerdict, reach_verdict
from tests.support.evaluation import table_of

ROWS = 400


def right(*shares: float, repeats: int = 1) -> np.ndarray:
    """Marks of variants that are right on these shares of the rows, the rows of a weaker one within those of a stronger one."""
    return np.array([[[float(row < share * ROWS)] * repeats for row in range(ROWS)] for share in shares])


def texts(verdict: ScoreVerdict, kind: str) -> list[str]:
    return [sentence.text for sentence in verdict.sentences if sentence.kind == kind]


def test_many_at_the_top_are_counted_and_the_first_and_last_named() -> None:
    """The headline of a tie names each of up to four with its score; of more, how many they are and from where to where."""
    assert reach_verdict(table_of(right(0.8, 0.8, 0.5))).headline == (
        "A with 80.0 % [75.8, 83.6] and B with 80.0 % [75.8, 83.6] cannot be separated at the top."
    )
    assert reach_verdict(table_of(right(*[0.8] * 6))).headline == (
        "All 6 variants cannot be separated at the top, from A with 80.0 % [75.8, 83.6] to F with 80.0 % [75.8, 83.6]."
    )
    assert reach_verdict(table_of(right(*[0.8] * 6, 0.5))).headline.startswith("6 of 7 variants cannot be separated at the top, from A")


def test_many_behind_the_leader_are_told_together() -> None:
    """Five that are behind make one sentence with the least and the largest distance, and the pairs keep every figure."""
    verdict = reach_verdict(table_of(right(0.9, 0.7, 0.6, 0.5, 0.4, 0.3)))
    assert verdict.winner == "A"
    assert texts(verdict, "behind") == [
        "C, D, E and F are behind A, by 30.0 to 60.0 pt (each p < 0.001, corrected for 15 comparisons).",
    ]
    assert len(verdict.findings.pairs) == 15


def test_many_that_are_not_separable_are_named_after_the_first_three() -> None:
    """Three pairs are told with what they would need, the others by name."""
    pairs = texts(reach_verdict(table_of(right(*[0.8] * 6))), "pair")
    assert [text.split(":")[0] for text in pairs[:3]] == [f"A and {name} are not separable" for name in "BCD"]
    assert pairs[3:] == ["Nor is A separable from E and F."]


def test_coverage_of_many_is_told_by_whether_the_answered_score_is_shown() -> None:
    """Those below 95 % coverage are told apart from those above; each group of more than three has one sentence with its bounds."""
    values = right(*[0.9] * 8)
    for variant, failed in enumerate((1, 2, 3, 4, 40, 50, 60, 80)):
        values[variant, :failed] = np.nan
    low, high = texts(reach_verdict(table_of(values)), "coverage")
    assert low == (
        "E, F, G and H: 40 to 80 calls of each failed or could not be scored; they count as wrong (coverage 80.0 % or more, they hide "
        "20.0 pt at most); that is too many for a score on the answered ones (shown from 95 % coverage)."
    )
    assert high == (
        "A, B, C and D: 1 to 4 calls of each failed or could not be scored; they count as wrong (coverage 99.0 % or more, they hide "
        "1.0 pt at most)."
    )


def test_failures_of_many_are_added_up() -> None:
    """More than three variants with failures: one sentence with the sums by code, the most frequent first."""
    failures = {name: {"timeout": 1, "rate_limited": 2} for name in "ABCD"}
    verdict = reach_verdict(table_of(right(0.9, 0.8, 0.7, 0.6)), failures=failures)
    assert texts(verdict, "failure") == ["Calls of 4 variants failed by: rate_limited 8, timeout 4."]


def test_costs_of_many_are_told_by_their_ends() -> None:
    """More than three known costs: the cheapest and the dearest per 1,000 rows and per correct answer; unknown ones are named."""
    costs = {"A": 4.0, "B": 1.6, "C": 1.0, "D": 0.4, "E": None}
    verdict = reach_verdict(table_of(right(1.0, 0.5, 0.5, 0.0, 0.0)), costs=costs)
    assert texts(verdict, "cost") == [
        "1,000 rows cost $1.00 (D) to $10.00 (A).",
        "A correct answer costs $0.0050 (C) to $0.010 (A).",
        "The cost of E is unknown.",
    ]
    same = reach_verdict(table_of(right(*[0.5] * 4)), costs=dict.fromkeys("ABCD", 4.0))
    assert texts(same, "cost") == ["1,000 rows cost $10.00.", "A correct answer costs $0.020."]


def test_noise_of_many_is_told_by_its_ends() -> None:
    """More than three variants that were asked again: the noisiest and the steadiest."""
    values = right(*[0.9] * 4, repeats=2)
    for variant, flipped in enumerate((0, 10, 20, 40)):
        values[variant, :flipped, 1] = 0.0
    assert texts(reach_verdict(table_of(values)), "noise") == [
        "Asked again, D got different scores for 10.0 % of the rows, the most of all, and A for 0.0 %, the least."
    ]


def test_unfinished_tasks_of_many_are_told_together() -> None:
    """Tasks that are not done are in no figure, and are told of all variants at once where there are more than three."""
    whole = table_of(right(*[0.9] * 4))
    values, states = whole.values.copy(), whole.states.copy()
    for variant in range(4):
        values[variant, : 10 + variant], states[variant, : 10 + variant] = np.nan, State.MISSING
    part = ScoreTable(whole.scorer, True, whole.variants, whole.row_ids, None, values, states)
    (text,) = texts(reach_verdict(part), "coverage")
    assert text == "A, B, C and D: 10 to 13 tasks of each are not done and in no figure."


def test_the_report_has_a_place_for_every_kind_of_sentence() -> None:
    """A sentence of a kind without a heading would end the report with an error."""
    assert set(get_args(SentenceKind)) <= _GROUPS.keys()
