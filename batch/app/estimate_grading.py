"""Estimate the scores of a job that need a model: the calls to judges, and the texts to be embedded.

Calls about existing answers are exact. For the other rows a placeholder takes the answer's place, and its length is estimated from the
candidates' answers. Equal answers share one call, so that the true number may be lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from batch.app.counting import RequestCounts, VariantEstimate
from batch.engine.feed import Candidate
from batch.evaluation.answers import Answer, by_row, run_answers
from batch.evaluation.grading.grader_calls import Call, Grader, calls_directory
from batch.evaluation.grading.judge_grader import judge_variant
from batch.evaluation.grading.pictures import IMAGES
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scoring import make_grader
from batch.journal.index import ResumeIndex
from batch.journal.lines import task_hash
from batch.policy.estimates import Range
from batch.readers.builders import request_builder
from batch.records import Row, Task
from batch.rundir.stored_run import StoredRun
from batch.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class GradingEstimate:
    """One score that needs a model. `calls.requests` is the most calls still to be made; `left_out` counts rows without a right value."""

    score: str
    model: str
    does: Literal["judges", "embeds"]
    calls: VariantEstimate
    left_out: int
    left_out_example: str | None


def estimate_grading(
    run: StoredRun, variants: Sequence[VariantEstimate], now: datetime, *, retry_failed: bool
) -> tuple[GradingEstimate, ...]:
    """Estimate each score of a job that needs a model, once all rows are answered; `variants` estimates the answers.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
    """
    counts = [_GradingCounts(score, run, variants, retry_failed) for score in run.job.scores if score.asked is not None]
    if counts:
        for row, answers in by_row(run_answers(run.with_all_columns())):
            for each in counts:
                each.add(row, answers)
    return tuple(each.estimate(now) for each in counts)


class _GradingCounts:
    """Counts the calls of one score, row by row."""

    def __init__(self, score: ScoreSettings, run: StoredRun, variants: Sequence[VariantEstimate], retry_failed: bool) -> None:
        assert score.asked is not None  # noqa: S101 - only scores with a grader are counted
        self._score = score
        self._grader: Grader = make_grader(score, run.job)
        self._retry_failed = retry_failed
        variant = judge_variant(score) if score.judge is not None else score.asked
        index = ResumeIndex.load(calls_directory(run.directory, score).journal_dir(variant.slug))
        self._builder = request_builder(variant, stream=False)
        self._counts = RequestCounts(replace(run.job, run=replace(run.job.run, repeats=1)), variant, index)
        self._model = variant.full_name
        self._lengths = {each.name: _per_answer(each) for each in variants}
        self._left_out = 0
        self._example: str | None = None

    def add(self, row: Row, answers: Sequence[Answer]) -> None:
        """Count the calls about one row."""
        open_ones = {(answer.variant, answer.repeat) for answer in answers if self._is_open(answer)}
        known = [answer for answer in answers if (answer.variant, answer.repeat) not in open_ones]
        all_of_them = [_imagined(answer) if (answer.variant, answer.repeat) in open_ones else answer for answer in answers]
        try:
            made = {call.id: call for call, _ in self._grader.calls(row, known)}
            wanted = {call.id: (call, names) for call, names in self._grader.calls(row, all_of_them)}
        except ExpectedError as error:
            self._left_out += 1
            self._example = self._example or str(error)
            return
        to_come = {variant for variant, _ in open_ones}
        for call_id, (_, names) in wanted.items():
            for name in (name for name in names if call_id not in made and name in to_come):
                self._counts.unseen += self._lengths[name]
        self._count(row, [call for call, _ in wanted.values()])

    def _is_open(self, answer: Answer) -> bool:
        return answer.missing or (self._retry_failed and answer.failure is not None)

    def _count(self, row: Row, calls: Sequence[Call]) -> None:
        entries = self._counts.index.lookup([task_hash(call.id, 0, 0) for call in calls])
        tasks = [Task(row.ordinal, call.id, self._model, 0, self._builder.build(replace(row, columns=_columns(call)))) for call in calls]
        candidates = [Candidate(task, None, entry) for task, entry in zip(tasks, entries, strict=True)]
        self._counts.add(candidates, [entry is None or (self._retry_failed and not entry.ok) for entry in entries])

    def estimate(self, now: datetime) -> GradingEstimate:
        """Estimate the calls."""
        does: Literal["judges", "embeds"] = "judges" if self._score.judge is not None else "embeds"
        return GradingEstimate(self._score.name, self._model, does, self._counts.estimate(now), self._left_out, self._example)


def _columns(call: Call) -> Mapping[str, Any]:
    """Return the columns of a call with the bytes of its pictures, which may not be kept yet, in place of their names."""
    if not call.kept:
        return call.columns
    return {**call.columns, IMAGES: [call.kept.get(name, name) for name in call.columns[IMAGES]]}


def _imagined(answer: Answer) -> Answer:
    """Make a placeholder for an answer to come, unequal to all others."""
    return Answer(answer.row, answer.variant, answer.repeat, text=f"{answer.row.ordinal} {answer.variant} {answer.repeat}")


def _per_answer(variant: VariantEstimate) -> Range:
    """Estimate the tokens of one future answer of a variant."""
    tokens, requests = variant.answer_tokens, variant.requests
    if not requests:
        return Range(0.0, 0.0)
    return Range(tokens.low / requests, None if tokens.high is None else tokens.high / requests)
