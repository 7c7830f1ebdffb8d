"""From a judge's answers to scores. Pairwise, a variant's score on a row is its share of won pairs, a tie being half a win."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batch.evaluation.answers import Answer, scored_text, unanswered
from batch.evaluation.grading.grader_calls import CallOutcomes
from batch.evaluation.grading.judge_grader import Item, JudgeGrader, judge_of
from batch.evaluation.grading.judge_replies import Preference, read_preference, read_rating
from batch.evaluation.grading.judge_stats import JudgeStats, PairStats, favoured
from batch.evaluation.grading.pairs import Judgement, both_orders
from batch.evaluation.scorers.sample import scored, unscored
from batch.evaluation.table import ScoreValue
from batch.providers.replies import read_reply
from batch.records import Outcome, Row
from batch.settings import Job

# The other variant of a pair, the judgement from this one's side, and the judge's reasons.
Side: TypeAlias = tuple[str, Judgement | None, str]

_NOT_JUDGED = ScoreValue(None, "missing", None, "not judged yet")


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """An item with what the judge said of it: a `cell` (pointwise) or a `judgement` of the pair, None when its calls are not answered."""

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
        self._grader = grader
        self._scale = judge.scale
        self._outcomes = outcomes
        self._watch = watch
        self._pairs = {pair: PairStats(*pair) for pair in grader.pairs} if grader.settings.kind == "pairwise" else {}
        self.stats.pairs = list(self._pairs.values())

    def cells(self, row: Row, answers: Sequence[Answer]) -> list[ScoreValue]:
        """The scores of all answers to a row, in their order. Raises ExpectedError when the row has no right value or question."""
        judged = list(self.judged(row, answers))
        for one in judged:
            self._watch(one)
        if self._grader.settings.kind != "pairwise":
            by_task = {_task(one.item.answers[0]): one.cell or _NOT_JUDGED for one in judged}
            return [self._plain(answer) or by_task[_task(answer)] for answer in answers]
        for one in judged:
            if one.judgement is not None:
                first, second = (answer.variant for answer in one.item.answers)
                self._pairs[first, second].add(one.judgement, asked=bool(one.item.calls))
        sides, of_task = _sides(judged), {_task(answer): answer for answer in answers}
        return [self._plain(answer) or self._won(answer, sides.get(_task(answer), []), of_task) for answer in answers]

    def judged(self, row: Row, answers: Sequence[Answer]) -> Iterator[JudgedItem]:
        """What the judge said of a row's answers, each call counted once. Raises ExpectedError."""
        items = self._grader.items(row, answers)
        ids = list(dict.fromkeys(call.id for item in items for call in item.calls))
        outcomes = dict(zip(ids, self._outcomes.read(ids), strict=True))
        read: dict[str, ScoreValue] = {}
        preferred: dict[str, tuple[Preference | None, str]] = {}
        for call_id, outcome in outcomes.items():
            self.stats.add(outcome)
            if outcome is None or not outcome.ok:
                continue
            text = _said(outcome)
            if self._grader.settings.kind == "pairwise":
                preferred[call_id] = read_preference(text)
                self.stats.unread += preferred[call_id][0] is None
            else:
                read[call_id] = _with_cause(read_rating(text, self._scale), outcome)
                self.stats.unread += read[call_id].state == "unscored"
        for item in items:
            if self._grader.settings.kind == "pairwise":
                yield _judged_pair(item, preferred)
            else:
                call = item.calls[0].id
                cell = read.get(call) or _unanswered(outcomes[call])
                yield JudgedItem(item, cell, None, cell.reason)

    def _plain(self, answer: Answer) -> ScoreValue | None:
        """The score of what is not judged."""
        if (known := unanswered(answer, self._grader.rules)) is not None:
            return known
        text = scored_text(answer, self._grader.rules)
        return text if isinstance(text, ScoreValue) else None

    def _won(self, answer: Answer, sides: Sequence[Side], of_task: Mapping[tuple[str, int], Answer]) -> ScoreValue:
        """The score of one of several: over the pairs that were judged, and those that the other one lost by a failed call."""
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
            return unscored("; ".join(reasons) or "there is no other answer to judge it against")
        return scored(sum(scores) / len(scores), f"{sum(scores):g} of {len(scores)}", "; ".join(reasons))


def _task(answer: Answer) -> tuple[str, int]:
    return answer.variant, answer.repeat


def _judged_pair(item: Item, preferred: Mapping[str, tuple[Preference | None, str]]) -> JudgedItem:
    if not item.calls:
        return JudgedItem(item, None, Judgement("tie"), "equal answers")
    if any(call.id not in preferred for call in item.calls):
        return JudgedItem(item, None, None, "")
    (forward, reason), (backward, _) = (preferred[call.id] for call in item.calls)
    return JudgedItem(item, None, both_orders(forward, backward), reason)


def _sides(judged: Sequence[JudgedItem]) -> dict[tuple[str, int], list[Side]]:
    """For each task its pairs, from its own side: the other variant, the judgement, the judge's reasons in the first order."""
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


def _unanswered(outcome: Outcome | None) -> ScoreValue:
    if outcome is None or outcome.error is None:
        return _NOT_JUDGED
    return ScoreValue(None, "missing", None, f"the judge's call failed: {outcome.error.code}")


def _said(outcome: Outcome) -> str | None:
    return None if outcome.response is None else read_reply(outcome.api or "chat/completions", outcome.response).text


def _with_cause(cell: ScoreValue, outcome: Outcome) -> ScoreValue:
    """Distinguish a judge that was cut off before its verdict from one that gave none."""
    if cell.state == "scored" or outcome.finish_reason != "length":
        return cell
    return unscored("the judge was cut off by its token limit; give it more in parameters", cell.extracted)
