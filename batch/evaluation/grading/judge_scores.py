"""Compute scores from a judge's replies. Pairwise, a variant's score on a row is its share of won pairs; a tie is half a win."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batch.evaluation.answers import Answer, scored_text, unanswered
from batch.evaluation.grading.grader_calls import CallOutcomes
from batch.evaluation.grading.judge_bias import BiasCounter
from batch.evaluation.grading.judge_grader import Item, JudgeGrader, judge_of
from batch.evaluation.grading.judge_replies import Preference
from batch.evaluation.grading.judge_stats import JudgeStats, PairStats, favoured
from batch.evaluation.grading.pairs import Judgement, both_orders
from batch.evaluation.grading.verdict_reader import JudgeVerdict, VerdictReader
from batch.evaluation.scorers.sample import scored
from batch.evaluation.table import ScoreValue
from batch.records import Row
from batch.settings import Job

# The other variant of a pair, the judgement from this one's side, and the judge's reasons.
Side: TypeAlias = tuple[str, Judgement | None, str]

_WINNERS: Mapping[Preference | None, int] = {"first": 0, "second": 1}
_NOT_JUDGED = ScoreValue(None, "missing", None, "not judged yet")


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """An item with the judge's verdict: a `cell` (pointwise) or a `judgement` of the pair; None when its calls are not answered."""

    item: Item
    cell: ScoreValue | None
    judgement: Judgement | None
    reason: str


class JudgeScores:
    """Computes the values of one judged score, row by row, and the judge's statistics. `watch` is called with each judged item."""

    def __init__(
        self, grader: JudgeGrader, job: Job, outcomes: CallOutcomes, *, watch: Callable[[JudgedItem], object] = lambda _: None
    ) -> None:
        judge = judge_of(grader.settings)
        models = {variant.name: variant.full_name for variant in job.variants}
        self.stats = JudgeStats(judge.model, favoured=favoured(judge.model, models))
        self.bias = BiasCounter(self.stats.favoured)
        self._grader = grader
        self._reader = VerdictReader(grader, outcomes)
        self._watch = watch
        self._pairs = {pair: PairStats(*pair) for pair in grader.pairs} if grader.settings.kind == "pairwise" else {}
        self.stats.pairs = list(self._pairs.values())

    def cells(self, row: Row, answers: Sequence[Answer]) -> list[ScoreValue]:
        """Return the scores of all answers to a row, in their order. Raises ExpectedError when the row has no right value or question."""
        judged = list(self.judged(row, answers))
        for one in judged:
            self._watch(one)
        if self._grader.settings.kind != "pairwise":
            for one in judged:
                if one.cell is not None and one.cell.value is not None:
                    self.bias.add_rating(one.item.texts[0], one.cell.value)
            by_task = {_task(one.item.answers[0]): one.cell or _NOT_JUDGED for one in judged}
            return [self._plain(answer) or by_task[_task(answer)] for answer in answers]
        for one in judged:
            if one.judgement is not None:
                first, second = (answer.variant for answer in one.item.answers)
                self._pairs[first, second].add(one.judgement, asked=bool(one.item.calls))
                if one.item.calls:
                    self.bias.add_pair(one.item.texts, _WINNERS.get(one.judgement.preference), one.judgement.place)
        sides, of_task = _sides(judged), {_task(answer): answer for answer in answers}
        return [self._plain(answer) or self._won(answer, sides.get(_task(answer), []), of_task) for answer in answers]

    def judged(self, row: Row, answers: Sequence[Answer]) -> Iterator[JudgedItem]:
        """Yield the judge's verdicts on a row's answers; each call is counted once. Raises ExpectedError."""
        items = self._grader.items(row, answers)
        verdicts, follow_ups = self._reader.read(row, [call for item in items for call in item.calls], self.stats.add)
        self.stats.unread += sum(verdict.answered and not verdict.clear for verdict in verdicts.values())
        self.stats.again += sum(map(len, follow_ups.values()))
        for item in items:
            if self._grader.settings.kind == "pairwise":
                yield _judged_pair(item, verdicts)
            else:
                verdict = verdicts[item.calls[0].id]
                self.stats.add_criteria(item.answers[0].variant, verdict.criteria or {})
                yield JudgedItem(item, verdict.value, None, verdict.reason)

    def _plain(self, answer: Answer) -> ScoreValue | None:
        """Return the score of an answer that is not judged; None for one that is."""
        if (known := unanswered(answer, self._grader.rules)) is not None:
            return known
        text = scored_text(answer, self._grader.rules)
        return text if isinstance(text, ScoreValue) else None

    def _won(self, answer: Answer, sides: Sequence[Side], of_task: Mapping[tuple[str, int], Answer]) -> ScoreValue:
        """Return the share of won pairs: over the judged pairs, and the pairs that the opponent lost by a failed call."""
        if answer.variant == judge_of(self._grader.settings).baseline:
            return scored(0.5, None, "what the others are judged against")
        scores, reasons = [], []
        for name in (name for pair in self._grader.pairs if answer.variant in pair for name in pair if name != answer.variant):
            other = of_task.get((name, answer.repeat))
            if other is None or other.missing:
                return ScoreValue(None, "missing", None, f"no outcome yet of {name}")
            if other.failure is not None:
                scores.append(1.0)
                reasons.append(f"won: the call of {name} failed")
        for name, judgement, reason in sides:
            if judgement is None:
                return ScoreValue(None, "missing", None, f"not judged yet against {name}")
            reasons.append(_reason(name, judgement, reason))
            if judgement.score is not None:
                scores.append(judgement.score)
        if not scores:
            # Neither a judge without a verdict nor a missing opponent makes this answer a wrong one.
            return ScoreValue(None, "missing", None, "; ".join(reasons) or "there is no other answer to judge it against")
        return scored(sum(scores) / len(scores), f"{sum(scores):g} of {len(scores)}", "; ".join(reasons))


def _task(answer: Answer) -> tuple[str, int]:
    return answer.variant, answer.repeat


def _judged_pair(item: Item, verdicts: Mapping[str, JudgeVerdict]) -> JudgedItem:
    if not item.calls:
        return JudgedItem(item, None, Judgement("tie"), "equal answers")
    forward, backward = (verdicts[call.id] for call in item.calls)
    if not (forward.answered and backward.answered):
        return JudgedItem(item, None, None, "")
    return JudgedItem(item, None, both_orders(forward.preference, backward.preference), forward.reason)


def _sides(judged: Sequence[JudgedItem]) -> dict[tuple[str, int], list[Side]]:
    """Group pairs by task, seen from its side: the opponent, the judgement, and the judge's reasons in the first order."""
    sides: dict[tuple[str, int], list[Side]] = {}
    for one in judged:
        first, second = one.item.answers
        turned = None if one.judgement is None else one.judgement.turned
        reason = f"{one.reason} (A is {first.variant})" if one.reason and one.item.calls else one.reason
        sides.setdefault(_task(first), []).append((second.variant, one.judgement, reason))
        sides.setdefault(_task(second), []).append((first.variant, turned, reason))
    return sides


def _reason(other: str, judgement: Judgement, reason: str) -> str:
    said = {"first": f"won against {other}", "second": f"lost against {other}", "tie": f"tied with {other}", None: f"no verdict on {other}"}
    flipped = ", the orders disagree" if judgement.flipped else ""
    return f"{said[judgement.preference]}{flipped}{f': {reason}' if reason else ''}"
