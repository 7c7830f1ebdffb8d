"""Read a judge's verdicts from the outcomes of its calls. An unreadable one is requested again, a bounded number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from batch.evaluation.answers import Answer
from batch.evaluation.grading.grader_calls import Call, CallOutcomes
from batch.evaluation.grading.judge_grader import JudgeGrader, judge_of
from batch.evaluation.grading.judge_replies import Preference, read_preference, read_rating, read_ratings
from batch.evaluation.table import ScoreValue
from batch.providers.replies import read_reply
from batch.records import Outcome, Row

_NOT_JUDGED = ScoreValue(None, "missing", None, "not judged yet")


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """A judge's verdict in one call. `value` is the rating's score value; for a pair, `preference` is the better answer.

    `answered`: there is a reply. `clear`: it, or a follow-up reply, can be read. `criteria` has a score for each criterion.
    """

    value: ScoreValue
    preference: Preference | None
    reason: str
    answered: bool
    clear: bool
    criteria: Mapping[str, float] | None = None


class VerdictReader:
    """Reads the verdicts on a row's calls, the follow-up calls for unreadable ones included."""

    def __init__(self, grader: JudgeGrader, outcomes: CallOutcomes) -> None:
        judge = judge_of(grader.settings)
        self._grader = grader
        self._outcomes = outcomes
        self._scale = judge.scale
        self._pairwise = grader.settings.kind == "pairwise"
        self._retries = judge.retries
        self._criteria = list(judge.criteria or ())

    def read(
        self, row: Row, calls: Iterable[Call], count: Callable[[Outcome | None], object] = lambda _: None
    ) -> tuple[dict[str, JudgeVerdict], dict[str, list[Call]]]:
        """Return each call's verdict by its id, and the follow-up calls by the same id. `count` receives each outcome once."""
        verdicts: dict[str, JudgeVerdict] = {}
        follow_ups: dict[str, list[Call]] = {}
        pending = {call.id: call for call in calls}
        for left in range(self._retries, -1, -1):
            outcomes = self._outcomes.read([call.id for call in pending.values()])
            following: dict[str, Call] = {}
            for (first, call), outcome in zip(pending.items(), outcomes, strict=True):
                count(outcome)
                verdict = self._verdict(outcome)
                # A follow-up that failed or is not made yet leaves the unreadable verdict as it is.
                if verdict.answered or first not in verdicts:
                    verdicts[first] = verdict
                if left and verdict.answered and not verdict.clear:
                    following[first] = self._grader.follow_up(row, call, _said(outcome))
                    follow_ups.setdefault(first, []).append(following[first])
            pending = following
        return verdicts, follow_ups

    def _verdict(self, outcome: Outcome | None) -> JudgeVerdict:
        if outcome is None or outcome.error is not None:
            code = None if outcome is None or outcome.error is None else outcome.error.code
            value = _NOT_JUDGED if code is None else ScoreValue(None, "missing", None, f"the judge's call failed: {code}")
            return JudgeVerdict(value, None, "", answered=False, clear=False)
        text = _said(outcome)
        if self._pairwise:
            preference, reason = read_preference(text)
            return JudgeVerdict(_NOT_JUDGED, preference, reason, answered=True, clear=preference is not None)
        rated, criteria = read_ratings(text, self._criteria, self._scale) if self._criteria else (read_rating(text, self._scale), None)
        value = _of_judge(rated, outcome)
        return JudgeVerdict(value, None, value.reason, answered=True, clear=value.state == "scored", criteria=criteria)


class FollowUpGrader:
    """Makes a judge's calls, and after replies that cannot be read their follow-up calls."""

    def __init__(self, grader: JudgeGrader, outcomes: CallOutcomes) -> None:
        self.settings = grader.settings
        self._grader = grader
        self._reader = VerdictReader(grader, outcomes)

    def calls(self, row: Row, answers: Sequence[Answer]) -> Iterator[tuple[Call, Sequence[str]]]:
        """Yield the calls about a row's answers, each with the variants that gave them. Raises ExpectedError."""
        first = list(self._grader.calls(row, answers))
        _, follow_ups = self._reader.read(row, [call for call, _ in first])
        for call, names in first:
            yield call, names
            for again in follow_ups.get(call.id, ()):
                yield again, names


def _said(outcome: Outcome | None) -> str | None:
    if outcome is None or outcome.response is None:
        return None
    return read_reply(outcome.api or "chat/completions", outcome.response).text


def _of_judge(value: ScoreValue, outcome: Outcome) -> ScoreValue:
    """Make a reply without a rating unscored instead of 0: that is the judge's failure and not the answer's."""
    if value.state == "scored":
        return value
    cut_off = outcome.finish_reason == "length"
    reason = "the judge was cut off by its token limit; give it more in parameters" if cut_off else value.reason
    return ScoreValue(None, "missing", value.extracted, reason)
