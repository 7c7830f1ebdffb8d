"""Combine the judgements of pairs of answers, each judged in both orders. Orders that disagree make a tie, counted as a flip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from batch.evaluation.grading.judge_replies import Preference

_TURNED: Mapping[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}
_MARKS: Mapping[Preference, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A pair judged in both orders, from the side of its first answer. `preference` None: unscored. `flipped`: the orders disagree.

    `place` is the place, 0 or 1, that both orders of a flipped pair preferred; None where one of them said tie.
    """

    preference: Preference | None
    flipped: bool = False
    place: int | None = None

    @property
    def turned(self) -> Judgement:
        """The same from the side of the second one."""
        return Judgement(None if self.preference is None else _TURNED[self.preference], self.flipped, self.place)

    @property
    def score(self) -> float | None:
        """The score of the first one: 1 won, 0.5 tie, 0 lost, None when it was not judged."""
        return None if self.preference is None else _MARKS[self.preference]


def pairs_of(variants: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """List the pairs to judge: each variant against `baseline`, or all pairs without one."""
    if baseline is not None:
        return [(name, baseline) for name in variants if name != baseline]
    return list(combinations(variants, 2))


def both_orders(forward: Preference | None, backward: Preference | None) -> Judgement:
    """Combine the judgements of both orders; `backward` was given with the answers swapped. Disagreement is a tie."""
    if forward is None or backward is None:
        return Judgement(None)
    if forward == _TURNED[backward]:
        return Judgement(forward)
    place = {"first": 0, "second": 1}.get(forward) if forward == backward else None
    return Judgement("tie", flipped=True, place=place)
