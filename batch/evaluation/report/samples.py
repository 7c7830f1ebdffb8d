"""All samples of a run as the page's data: an index that filters need, and the texts of each row, written as they are read.

Memory holds a chunk of texts and the index: a few hundred bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batch.evaluation.expected import expected_value
from batch.evaluation.report.chunks import ChunkWriter
from batch.evaluation.report.index import SampleIndex, marks_disagree, state_of, texts_disagree
from batch.evaluation.report.marks import MarksReader
from batch.evaluation.report.prompts import PromptMaker, RowPrompts
from batch.evaluation.report.tally import Calls, CallTally, Failure
from batch.evaluation.report.texts import answer_text, cut, pretty, preview
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scorers.texts import as_text
from batch.evaluation.table import Cell
from batch.providers.replies import read_reply
from batch.records import BadRow, Row
from batch.results.join import Result
from batch.settings import Job, ScoreSettings
from batch.writers.values import json_bytes

MOST_TASKS = 200_000
"""With more tasks, the samples are those of every n-th row: a larger page would not open."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What the pass over all results gave. `index` is the page's JSON; `shown` of the `rows` rows are in it."""

    rows: int
    shown: int
    index: dict[str, Any]
    calls: Sequence[Calls]
    failures: Sequence[Failure]


def write_samples(
    results: Iterable[Result],
    job: Job,
    scores: Sequence[ScoreSettings],
    marks: Sequence[MarksReader],
    chunks: ChunkWriter,
    *,
    longest: int,
    every: int = 1,
) -> Samples:
    """Read all results once, write the texts of every `every`-th row to `chunks`, and count the calls of all.

    `marks` are those of `scores`. Texts are cut to `longest` characters.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
    """
    writer = _SampleWriter(job, scores, marks, longest)
    tally = CallTally([variant.name for variant in job.variants])
    per_row, rows = len(job.variants) * job.run.repeats, 0
    for of_row in _batched(results, per_row):
        for at, result in enumerate(of_row):
            tally.add(at // job.run.repeats, result)
        cells = [[reader.take(one.row.ordinal, one.variant.name, one.repeat) for one in of_row] for reader in marks]
        if rows % every == 0:
            chunks.add(json_bytes(writer.line(of_row, cells)))
        rows += 1
    chunks.flush()
    head = _head(job, scores, writer.columns)
    return Samples(rows, len(writer.index), {**head, "starts": chunks.starts, **writer.index.document()}, tally.calls, tally.failures)


def _batched(results: Iterable[Result], size: int) -> Iterator[list[Result]]:
    source = iter(results)
    while of_row := list(islice(source, size)):
        yield of_row


def _head(job: Job, scores: Sequence[ScoreSettings], columns: Sequence[str]) -> dict[str, Any]:
    return {
        "variants": [
            {"name": variant.name, "model": f"{variant.provider.name}/{variant.model}", "parameters": pretty(variant.parameters)}
            for variant in job.variants
        ],
        "repeats": job.run.repeats,
        "scores": [score.name for score in scores],
        "carried": list(columns),
    }


class _SampleWriter:
    """Makes the lines of rows, and keeps their index."""

    def __init__(self, job: Job, scores: Sequence[ScoreSettings], marks: Sequence[MarksReader], longest: int) -> None:
        slices = list(dict.fromkeys(name for score in scores for name in (*score.slices, *([score.cluster] if score.cluster else []))))
        self.columns = list(dict.fromkeys((*slices, *job.output.columns)))
        self.index = SampleIndex(slices or job.output.columns, len(marks))
        self._job = job
        self._prompts = PromptMaker(job.variants, longest)
        self._expected = [expected_value(score) for score in scores]
        self._longest = longest

    def line(self, of_row: Sequence[Result], cells: Sequence[Sequence[Cell | None]]) -> list[Any]:
        """The row's texts: [id, prompts, carried-over columns, expected by score, tasks]; the index takes the row in."""
        row, repeats = of_row[0].row, self._job.run.repeats
        prompts = self._prompts.make(row)
        tasks = [self._task(one, at // repeats, prompts, [cell[at] for cell in cells]) for at, one in enumerate(of_row)]
        self.index.add_row(row, preview(prompts.prompts[0]) if prompts.prompts else "")
        outcomes = [one.outcome for one in of_row]
        self.index.add_finishes(outcomes)
        for score, of_score in enumerate(cells):
            states = list(map(state_of, outcomes, of_score))
            self.index.add_marks(score, states, disagree=marks_disagree(of_score, repeats))
        if not cells:
            answers = [None if task is None else task[2] for task in tasks[::repeats]]
            self.index.add_marks(0, [state_of(outcome, None) for outcome in outcomes], disagree=texts_disagree(answers))
        return [row.id, prompts.prompts, self._carried(row), self._expected_texts(row), tasks]

    def _carried(self, row: Row | BadRow) -> list[str | None]:
        if isinstance(row, BadRow):
            return []
        values = [row.columns.get(name) for name in self.columns]
        return [None if value is None else cut(as_text(value), self._longest) for value in values]

    def _expected_texts(self, row: Row | BadRow) -> list[str | None]:
        texts: list[str | None] = []
        for expected in self._expected:
            try:
                value = None if isinstance(row, BadRow) else expected(row)
            except ExpectedError:
                value = None
            texts.append(None if value is None else cut(as_text(value), self._longest))
        return texts

    def _task(self, result: Result, variant: int, prompts: RowPrompts, cells: Sequence[Cell | None]) -> list[Any] | None:
        """[prompt's number, whether another was sent, answer, reasoning, tool calls, error, record, marks]; None without an outcome.

        The record is [seconds, seconds to the first token, tokens in, tokens out, dollars, attempts].
        """
        outcome = result.outcome
        if outcome is None:
            return None
        text = reasoning = tools = error = None
        if outcome.error is not None:
            failed = outcome.error
            error = [failed.kind.value, failed.code, cut(failed.message, self._longest), failed.http_status]
        elif outcome.response is not None:
            reply = read_reply(outcome.api or result.variant.prompt.api, outcome.response)
            text, reasoning = (said and cut(said, self._longest) for said in (answer_text(reply), reply.reasoning))
            tools = cut(pretty(reply.tool_calls), self._longest) if reply.tool_calls else None
        usage, key = outcome.usage or {}, prompts.keys[variant]
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        times = [_seconds(outcome.sent, outcome.done), _seconds(outcome.sent, outcome.first_token)]
        marks = [cell and [cell.value, cell.extracted, cell.reason] for cell in cells]
        record = [*times, *tokens, outcome.cost_usd, outcome.attempts]
        other = key is not None and key != outcome.key
        return [prompts.which[variant], other, text, reasoning, tools, error, record, marks]


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)
