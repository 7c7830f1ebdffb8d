"""Score one row's answers by a scorer that needs no model."""

from __future__ import annotations

from typing import Any

from batch.errors import describe_bug
from batch.evaluation.answers import Answer, AnswerRules, unanswered
from batch.evaluation.expected import expected_value
from batch.evaluation.scorers import KINDS, ExpectedError, Sample, make_scorer
from batch.evaluation.scorers.sample import unscored
from batch.evaluation.table import ScoreValue
from batch.records import Row
from batch.settings import ScoreSettings


class RowScorer:
    """Scores answers by a `[[score]]` entry. Raises SetupError when a file or a library that it needs is missing."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._kind = settings.kind
        self._compares = KINDS[settings.kind].compares and settings.expected is not None
        self._rules = AnswerRules.of(settings)
        self._score = make_scorer(settings)
        self._expected = expected_value(settings)

    def expected(self, row: Row) -> Any:
        """Return the row's right value. Raises ExpectedError when it has none that can be used."""
        expected = self._expected(row)
        if self._compares:
            try:
                self._score(Sample("", expected, columns=row.columns))
            except ExpectedError:
                raise
            except Exception as error:
                raise ExpectedError(_unexpected(self._kind, error)) from error
        return expected

    def cell(self, answer: Answer, expected: Any) -> ScoreValue:
        """Score one answer to a row with this right value."""
        if (known := unanswered(answer, self._rules)) is not None:
            return known
        try:
            return self._score(answer.sample(expected, self._rules))
        except ExpectedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model answers ends at most the score of that answer
            return unscored(_unexpected(self._kind, error))


def _unexpected(kind: str, error: Exception) -> str:
    """Report an unexpected exception of a scorer with its place in the code, and without any text of the answer."""
    place = describe_bug(error).splitlines()[-1].strip()
    return f"the scorer {kind} met {type(error).__name__} ({place}): this is a bug in promptmill"
