"""Gates on scores of judges: verdicts that the judge failed to give, and those that are not asked for yet."""

from __future__ import annotations

import numpy as np
import pytest

from batch.evaluation.gates import check_gates
from batch.evaluation.grading.judge_stats import JudgeStats
from batch.evaluation.reading import Evaluation, ScoreResult
from batch.evaluation.table import ScoreTable, State
from batch.settings import GateSettings, JudgeSettings, ScoreSettings
from tests.support.runs import variant

GATE = GateSettings(score="s", minimum=0.5)


def judged(missing: int, stats: JudgeStats | None) -> Evaluation:
    """100 right answers of which so many have no verdict."""
    values, states = np.ones((1, 100, 1)), np.full((1, 100, 1), State.SCORED, dtype=np.uint8)
    values[0, :missing], states[0, :missing] = np.nan, State.MISSING
    settings = ScoreSettings(name="s", kind="judge", judge=JudgeSettings(variant=variant("j"), rubric="r"))
    table = ScoreTable("s", True, ("m",), tuple(map(str, range(100))), None, values, states)
    return Evaluation((ScoreResult(settings, table, {}, 0, None, stats),), ())


@pytest.mark.parametrize(
    ("missing", "stats", "passed"),
    [
        (0, JudgeStats("j"), True),
        (5, JudgeStats("j", unread=5), True),
        (5, JudgeStats("j", unread=2, failed=3), True),
        (6, JudgeStats("j", unread=6), False),
        (5, JudgeStats("j", unread=4), False),
        (5, JudgeStats("j", unread=5, open=1), False),
        (1, None, False),
    ],
)
def test_a_few_lost_verdicts_do_not_fail_a_gate(missing: int, stats: JudgeStats | None, passed: bool) -> None:
    """At most 5 % may lack a verdict for good; what is not asked for yet, or not sent, fails the gate: nothing passes by not being sent."""
    (result,) = check_gates(judged(missing, stats), [GATE])
    assert result.passed is passed, result.text
