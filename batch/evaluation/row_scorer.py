"""The scores of one row's answers by a scorer that needs no model."""

from __future__ import annotations

from typing import Any

from batch.evaluation.answers import Answer, AnswerRules, unanswered
from batch.evaluation.expected import expected_value
from batch.evaluation.scorers import KINDS, Sample, make_scorer
from batch.evaluation.table import ScoreValue
from batch.records import Row
from batch.settings import ScoreSettings


class RowScorer:
    """Scores answers by a `[[score]]` entry. Raises SetupError when a file or a library that it needs is missing."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._compares = KINDS[settings.kind].compares and settings.expected is not None
        self._rules = AnswerRules.of(settings)
        self._score = make_scorer(settings)
        self._expected = expected_value(settings)

    def expected(self, row: Row) -> Any:
        """The row's right value. Raises ExpectedError when it has none of use."""
        expected = self._expected(row)
        if self._compares:
            self._score(Sample("", expected, columns=row.columns))
        return expected

    def cell(self, answer: Answer, expected: Any) -> ScoreValue:
        """The score of one answer to a row with this right value."""
        if (known := unanswered(answer, self._rules)) is not None:
            return known
        return self._score(answer.sample(expected, self._rules))
