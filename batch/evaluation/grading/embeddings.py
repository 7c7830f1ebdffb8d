"""Score answers by the cosine between the embeddings of answer and right value.

Each text of a row is embedded once, right values too; of several right values the nearest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.answers import Answer, AnswerRules, scored_text, unanswered
from batch.evaluation.expected import expected_value
from batch.evaluation.grading.call_stats import CallStats
from batch.evaluation.grading.grader_calls import Call, CallOutcomes, Identity, graded_by
from batch.evaluation.scorers.sample import ExpectedError, scored, unscored
from batch.evaluation.scorers.texts import expected_texts
from batch.evaluation.table import ScoreValue
from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import Outcome, Row
from batch.settings import ScoreSettings

Vector = NDArray[np.float64]
Embedded: TypeAlias = Vector | ScoreValue
"""A text's vector, or the score value of what needs it."""

TEXT = "text"
"""The column of the calls that holds what is embedded."""


@dataclass(slots=True)
class EmbeddingStats(CallStats):
    """Statistics of an embedding model's calls."""

    kind: ClassVar[Literal["embedder"]] = "embedder"

    def sentences(self, variants: Sequence[str], dollars: str) -> Iterator[tuple[str, tuple[str, ...]]]:  # noqa: ARG002 - all alike
        """Yield sentences, which name no variant; `dollars` is the formatted cost."""
        yield f"{self.model} embedded {self.calls:,} texts for {self.prompt_tokens:,} tokens; the cost of that is {dollars}.", ()
        if self.open:
            yield f"{self.open:,} texts are not embedded yet; promptmill score has that done.", ()
        if self.failed:
            again = "promptmill score --retry-failed tries again"
            yield f"{self.failed:,} texts could not be embedded; what needs them has no score ({again}).", ()
        if self.unread:
            yield f"{self.unread:,} embeddings are no vectors that can be compared; what needs them is unscored.", ()


class EmbeddingGrader:
    """Makes the calls of one score: the texts to embed."""

    def __init__(self, settings: ScoreSettings) -> None:
        self.settings = settings
        self.rules = AnswerRules.of(settings)
        self._expected = expected_value(settings)
        self._identity = Identity(graded_by(settings))

    def calls(self, row: Row, answers: Sequence[Answer]) -> Iterator[tuple[Call, Sequence[str]]]:
        """Yield the texts to embed: each answer with its variants, then, if there is any answer, the right values with no variant.

        Raises:
            ExpectedError: the row has no right value.
        """
        wanted = self.wanted(row)
        texts = [(answer, text) for answer in answers if isinstance(text := scored_text(answer, self.rules), str) and text.strip()]
        for answer, text in texts:
            yield self.call(row, text), [answer.variant]
        for text in wanted if texts else ():
            yield self.call(row, text), []

    def wanted(self, row: Row) -> list[str]:
        """Return the row's right values. Raises ExpectedError where none has a text."""
        texts = [text for text in expected_texts(self._expected(row)) if text.strip()]
        if not texts:
            raise ExpectedError("the row's expected value is empty, which cannot be embedded")
        return texts

    def call(self, row: Row, text: str) -> Call:
        """Make the call that embeds a text of the row, without surrounding space."""
        return self._identity.call(row, TEXT, text.strip())


class EmbeddingScores:
    """Computes the values of one score, row by row, and the statistics of the model that embeds.

    A score is the cosine, or where the score has a `threshold`, whether the cosine reaches it. A cosine below 0 is a score of 0: scores go
    from 0 to 1, and a failed call, which counts as 0, must be no better than any answer.
    """

    def __init__(self, grader: EmbeddingGrader, outcomes: CallOutcomes) -> None:
        self.stats = EmbeddingStats(graded_by(grader.settings).full_name)
        self._grader = grader
        self._outcomes = outcomes
        self._threshold: float | None = grader.settings.options.get("threshold")

    def cells(self, row: Row, answers: Sequence[Answer]) -> list[ScoreValue]:
        """Return the scores of all answers to a row, in their order. Raises ExpectedError when the row has no right value."""
        found = self._vectors(list(dict.fromkeys(call.id for call, _ in self._grader.calls(row, answers))))
        targets = {text: found.get(self._grader.call(row, text).id) for text in self._grader.wanted(row)}
        return [self._cell(row, answer, found, targets) for answer in answers]

    def _vectors(self, ids: Sequence[str]) -> dict[str, Embedded]:
        """Read the result of each call: a vector, or the score of every answer that needs it."""
        outcomes = self._outcomes.read(ids)
        found: dict[str, Embedded] = {}
        for call_id, outcome in zip(ids, outcomes, strict=True):
            self.stats.add(outcome)
            found[call_id] = _vector(outcome)
            self.stats.unread += isinstance(read := found[call_id], ScoreValue) and read.state == "unscored"
        return found

    def _cell(self, row: Row, answer: Answer, found: Mapping[str, Embedded], targets: Mapping[str, Embedded | None]) -> ScoreValue:
        text = scored_text(answer, self._grader.rules)
        if not isinstance(text, str):
            return unanswered(answer, self._grader.rules) or text or unscored("the answer has no text")
        if not text.strip():
            return scored(0.0, text, "empty answer")
        own = found[self._grader.call(row, text).id]
        if isinstance(own, ScoreValue):
            return own
        near: list[tuple[float, str]] = []
        for target, vector in targets.items():
            if not isinstance(vector, np.ndarray):
                return vector or unscored("the right value is not embedded")
            cosine = _cosine(own, vector)
            if cosine is None:
                return unscored(f"vectors of {len(own)} and {len(vector)} numbers cannot be compared", text)
            near.append((cosine, target))
        return self._score_of(text, *max(near), several=len(near) > 1)

    def _score_of(self, text: str, cosine: float, target: str, *, several: bool) -> ScoreValue:
        reason = f"cosine {cosine:z.3f}{f' to the nearest, {target!r}' if several else ''}"
        if self._threshold is None:
            return scored(max(0.0, cosine), text, reason)
        reached = cosine >= self._threshold
        return scored(float(reached), text, f"{reason}, {'at or above' if reached else 'below'} {self._threshold:g}")


def _vector(outcome: Outcome | None) -> Vector | ScoreValue:
    if outcome is None:
        return ScoreValue(None, "missing", None, "not embedded yet")
    if outcome.error is not None or outcome.response is None:
        code = outcome.error.code if outcome.error is not None else "no reply"
        return ScoreValue(None, "missing", None, f"it could not be embedded: {code}")
    try:
        numbers = read_reply("embeddings", outcome.response).embedding
        vector = np.asarray(numbers, dtype=np.float64)
    # A list of several vectors, or of something else, makes no array of numbers.
    except (ReplyFormatError, ValueError, TypeError):
        return unscored("the embedding cannot be read")
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 and vector.size else 0.0
    if not np.isfinite(length) or length == 0:
        return unscored("the embedding has no direction")
    return np.asarray(vector / length)


def _cosine(one: Vector, other: Vector) -> float | None:
    """Compute the cosine of two vectors of length 1; None where their dimensions differ."""
    # Rounded, so that equal texts, whose vectors are equal, come to 1 and not to a little less.
    return round(float(np.clip(one @ other, -1.0, 1.0)), 9) if one.shape == other.shape else None
