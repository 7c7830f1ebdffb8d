"""Conditions on scores, as `export --where` has them: `names-it >= 1`, several joined by `and`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
# A score's name may hold hyphens and spaces, so that it is what stands before the operator.
_CONDITION = re.compile(r"\s*(?P<score>.+?)\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<bound>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class ScoreCondition:
    """One comparison of a score's value with a number."""

    score: str
    operator: str
    bound: float

    def holds(self, value: float | None) -> bool:
        """Whether it is true of a value; of an answer without one (unscored) nothing is."""
        return value is not None and not math.isnan(value) and _OPERATORS[self.operator](value, self.bound)


def score_conditions(texts: Sequence[str], scores: Sequence[str]) -> list[ScoreCondition]:
    """Read conditions on these scores, all of which must hold. Raises ValueError, in words."""
    return [_condition(part, scores) for text in texts for part in re.split(r"\sand\s", text)]


def _condition(text: str, scores: Sequence[str]) -> ScoreCondition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition on a score; write one as SCORE >= 1, several joined by and")
    if found["score"] not in scores:
        raise ValueError(f"there is no score {found['score']!r}; the job has {', '.join(scores) or 'none'}")
    return ScoreCondition(found["score"], found["operator"], float(found["bound"]))
