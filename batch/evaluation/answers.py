"""Read the answers of a run directory, one record per task. Files of other tools are read by foreign.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from batch.evaluation.scorers.sample import Sample, scored, unscored
from batch.evaluation.scorers.texts import answer_text
from batch.evaluation.table import ScoreValue
from batch.journal.segments import segment_paths
from batch.providers.logprobs import read_logprobs
from batch.providers.replies import read_reply
from batch.records import BadRow, Outcome, Row
from batch.results.join import Result, results
from batch.rundir.stored_run import StoredRun
from batch.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Answer:
    """A task as evaluation sees it. `row` has its columns; rows that cannot be read have no answers.

    `failure` is the error's code when the task failed. `missing` says that it has no outcome yet. Times are in seconds. `logprobs` are the
    answer's tokens, as `providers.logprobs` reads them.
    """

    row: Row
    variant: str
    repeat: int = 0
    text: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    truncated: bool = False
    failure: str | None = None
    missing: bool = False
    latency_s: float | None = None
    first_token_s: float | None = None
    cost_usd: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    logprobs: Sequence[Mapping[str, Any]] | None = None

    def sample(self, expected: Any, rules: AnswerRules) -> Sample:
        """Convert to what a scorer receives."""
        return Sample(
            self.text,
            expected,
            self.tool_calls,
            self.truncated,
            self.row.columns,
            rules.thinking,
            usage=self.usage,
            finish_reason=self.finish_reason or ("length" if self.truncated else None),
            logprobs=self.logprobs,
        )


def run_answers(run: StoredRun) -> Iterator[Answer]:
    """Yield every task of a run, row by row, with all variants and repeats of a row together.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
    """
    for result in results(run):
        if not isinstance(result.row, BadRow):
            yield answer_of(result, result.row)


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Rules that all kinds of scores share. `cut_off` is the score of an answer that the token limit cut off.

    `thinking` names a tag around thinking beside the usual ones.
    """

    cut_off: Literal["score", "wrong", "unscored"] = "unscored"
    thinking: str | None = None

    @classmethod
    def of(cls, settings: ScoreSettings) -> AnswerRules:
        """Read the rules from a `[[score]]` entry."""
        return cls(settings.options.get("cut_off", "unscored"), settings.options.get("thinking"))


def unanswered(answer: Answer, rules: AnswerRules) -> ScoreValue | None:
    """Return the score of a task without a gradable answer (missing, failed or cut off); None for one that has an answer."""
    if answer.missing:
        return ScoreValue(None, "missing", None, "no outcome yet")
    if answer.failure is not None:
        return ScoreValue(None, "failed", None, answer.failure)
    if not answer.truncated or rules.cut_off == "score":
        return None
    reason = "cut off by the token limit"
    return scored(0.0, answer.text, reason) if rules.cut_off == "wrong" else unscored(reason, answer.text)


def scored_text(answer: Answer, rules: AnswerRules) -> str | ScoreValue | None:
    """Return the text to grade, without thinking; a score that says why there is none; None for a task without an answer."""
    if unanswered(answer, rules) is not None:
        return None
    return answer_text(Sample(answer.text, tool_calls=answer.tool_calls, thinking=rules.thinking))


def by_row(answers: Iterable[Answer]) -> Iterator[tuple[Row, list[Answer]]]:
    """Group answers by row; memory holds one row."""
    of_row: list[Answer] = []
    for answer in answers:
        if of_row and answer.row is not of_row[0].row and answer.row.ordinal != of_row[0].row.ordinal:
            yield of_row[0].row, of_row
            of_row = []
        of_row.append(answer)
    if of_row:
        yield of_row[0].row, of_row


def run_state(run: StoredRun) -> str:
    """Hash everything that the run's tasks and outcomes depend on. Reads no outcome.

    Raises:
        InputError: a file of the input is gone.
    """
    variants = run.job.variants
    # Size and time of the segments stand for their content: they are appended to, and never changed.
    journals = {variant.slug: [_stamp(path) for path in segment_paths(run.directory.journal_dir(variant.slug))] for variant in variants}
    known = [run.dataset.identity(), run.dataset.selection, run.job.run.repeats, [variant.name for variant in variants], journals]
    return hashlib.blake2b(json.dumps(known).encode(), digest_size=16).hexdigest()


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


def answer_of(result: Result, row: Row) -> Answer:
    """Convert a result to an answer for evaluation; `row` is the result's."""
    outcome, name, repeat = result.outcome, result.variant.name, result.repeat
    if outcome is None:
        return Answer(row, name, repeat, missing=True)
    stats: dict[str, Any] = {
        "latency_s": _seconds(outcome.sent, outcome.done),
        "first_token_s": _seconds(outcome.sent, outcome.first_token),
        "cost_usd": outcome.cost_usd,
        "usage": outcome.usage or {},
    }
    if outcome.error is not None:
        return Answer(row, name, repeat, failure=outcome.error.code, **stats)
    return Answer(row, name, repeat, **_said(outcome, result), **stats)


def _said(outcome: Outcome, result: Result) -> dict[str, Any]:
    if outcome.response is None:
        return {}
    api = outcome.api or result.variant.prompt.api
    reply = read_reply(api, outcome.response)
    return {
        "text": reply.text,
        "tool_calls": reply.tool_calls,
        "truncated": outcome.finish_reason == "length",
        "finish_reason": outcome.finish_reason,
        "logprobs": read_logprobs(api, outcome.response),
    }


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
