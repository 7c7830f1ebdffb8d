"""Compute figures by a user's function of all rows: any metric of a set of answers, with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from batch.evaluation.figures.figure import Figure, FigureMaker, Resamples, ScoredAnswer, limits
from batch.evaluation.scorers.sample import Sample, shown
from batch.evaluation.scorers.user_function import more_of, plain_number
from batch.evaluation.scorers.user_module import UserFunction

USER_RESAMPLES = 200


class UserFigures(FigureMaker):
    """The result of `function`, written "file.py:name", for all finished answers of a variant.

    It is called as name(rows) with a list of dicts: id, repeat, answer, expected, row (the columns), score (None where there is none),
    state, extracted, usage, finish_reason, logprobs and tool_calls. It returns a number, or a dict of numbers by name, and may be async.
    For the interval it is called again with `USER_RESAMPLES` resamples of the rows, whole clusters together. The text of an exception
    becomes the figure's note.

    Raises:
        SetupError: the file or the function is not there, or the file cannot be run.
    """

    def __init__(self, function: str) -> None:
        self._call = UserFunction(function)
        self._rows: list[dict[str, Any]] = []

    def add(self, scored: ScoredAnswer) -> None:
        """Take one answer; all of them are kept in memory."""
        answer, score = scored.answer, scored.score
        sample = Sample(
            answer.text, tool_calls=answer.tool_calls, usage=answer.usage, finish_reason=answer.finish_reason, logprobs=answer.logprobs
        )
        self._rows.append(
            {
                "id": answer.row.id,
                "repeat": answer.repeat,
                "answer": answer.text,
                "expected": scored.expected,
                "row": dict(answer.row.columns),
                "score": score.value,
                "state": score.state,
                "extracted": score.extracted,
                **more_of(sample),
            }
        )

    def figures(self, resamples: Resamples) -> list[Figure]:
        """Call the function, and return its figures."""
        try:
            plain = self._figures(self._rows)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return [Figure(self._call.name, None, note=f"raised {type(error).__name__}: {shown(str(error), 120)}", rows=len(self._rows))]
        drawn: dict[str, list[float]] = {name: [] for name in plain}
        for weights in Resamples(resamples.units, USER_RESAMPLES).weights():
            again = [self._rows[at] for at in np.repeat(np.arange(len(self._rows)), weights.astype(np.intp))]
            try:
                found = self._figures(again)
            except Exception:  # noqa: BLE001 - a resample may lack what the metric needs
                found = {}
            for name, values in drawn.items():
                values.append(found.get(name, math.nan))
        return [self._figure(name, value, drawn[name]) for name, value in plain.items()]

    def _figure(self, name: str, value: float, drawn: list[float]) -> Figure:
        low, high = limits(np.array(drawn)) if drawn else (None, None)
        known = math.isfinite(value)
        note = None if known else "no number"
        return Figure(name, value if known else None, low if known else None, high if known else None, None, False, len(self._rows), note)

    def _figures(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        given = plain_number(self._call(rows))
        named = given if isinstance(given, Mapping) else {self._call.name: given}
        return {str(name): _number(plain_number(value)) for name, value in named.items()}


def _number(value: Any) -> float:
    # An integer beyond what a float can hold is no figure either.
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else math.nan
