"""Write all samples of a run as the page's data: an index for the filters, and the texts of each row, written as they are read.

Memory holds a chunk of texts and the index: a few hundred bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batch.errors import RowError
from batch.evaluation.expected import expected_value
from batch.evaluation.parquet import ScoresReader
from batch.evaluation.report.chunks import ChunkWriter
from batch.evaluation.report.formatting import SentMessage, answer_text, cut, pretty, preview, sent_prompt
from batch.evaluation.report.index import SampleIndex, scores_disagree, state_of, texts_disagree
from batch.evaluation.report.names import differing
from batch.evaluation.report.tally import Calls, CallTally, Failure
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scorers.labels import reader_of
from batch.evaluation.scorers.texts import as_text
from batch.evaluation.table import ScoreValue
from batch.providers.replies import read_reply
from batch.readers.builders import request_builder
from batch.records import BadRow, Row
from batch.results.join import Result
from batch.settings import Job, ScoreSettings, Variant
from batch.writers.values import json_bytes

MOST_TASKS = 200_000
"""With more tasks, the samples are those of every n-th row: a larger page would not open."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The result of the pass over all results. `index` is the page's JSON; it has `shown` of the `rows` rows."""

    rows: int
    shown: int
    index: dict[str, Any]
    calls: Sequence[Calls]
    failures: Sequence[Failure]


def write_samples(
    results: Iterable[Result],
    job: Job,
    scores: Sequence[ScoreSettings],
    readers: Sequence[ScoresReader],
    chunks: ChunkWriter,
    *,
    longest: int,
    every: int = 1,
) -> Samples:
    """Read all results once, write the texts of every `every`-th row to `chunks`, and count the calls of all.

    `readers` read the values of `scores`. Texts are cut to `longest` characters.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
    """
    writer = _SampleWriter(job, scores, readers, longest)
    tally = CallTally([variant.name for variant in job.variants])
    per_row, rows = len(job.variants) * job.run.repeats, 0
    for of_row in _batched(results, per_row):
        for at, result in enumerate(of_row):
            tally.add(at // job.run.repeats, result)
        cells = [[reader.take(one.row.ordinal, one.variant.name, one.repeat) for one in of_row] for reader in readers]
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
    short = differing([variant.name for variant in job.variants])[1]
    return {
        "variants": [
            {
                "name": variant.name,
                "short": short[at],
                "model": f"{variant.provider.name}/{variant.model}",
                "parameters": pretty(variant.parameters),
            }
            for at, variant in enumerate(job.variants)
        ],
        "repeats": job.run.repeats,
        "scores": [score.name for score in scores],
        "carried": list(columns),
    }


class _SampleWriter:
    """Makes the lines of rows, and keeps their index."""

    def __init__(self, job: Job, scores: Sequence[ScoreSettings], readers: Sequence[ScoresReader], longest: int) -> None:
        slices = list(dict.fromkeys(name for score in scores for name in (*score.slices, *([score.cluster] if score.cluster else []))))
        self.columns = list(dict.fromkeys((*slices, *job.output.columns)))
        self.index = SampleIndex(slices or job.output.columns, len(readers))
        self._job = job
        self._prompts = PromptMaker(job.variants, longest)
        self._expected = [expected_value(score) for score in scores]
        self._readers = {at: reader_of(score.options) for at, score in enumerate(scores) if score.kind == "label"}
        self._longest = longest

    def line(self, of_row: Sequence[Result], cells: Sequence[Sequence[ScoreValue | None]]) -> list[Any]:
        """Return the row's texts: [id, prompts, carried-over columns, expected by score, tasks]; also add the row to the index."""
        row, repeats = of_row[0].row, self._job.run.repeats
        prompts = self._prompts.make(row)
        tasks = [self._task(one, at // repeats, prompts, [cell[at] for cell in cells]) for at, one in enumerate(of_row)]
        self.index.add_row(row, preview(prompts.prompts[0]) if prompts.prompts else "")
        outcomes = [one.outcome for one in of_row]
        self.index.add_finishes(outcomes)
        for score, of_score in enumerate(cells):
            states = list(map(state_of, outcomes, of_score))
            self.index.add_scores(score, states, disagree=scores_disagree(of_score, repeats))
            if score in self._readers:
                self.index.add_labels(score, self._right_labels(score, row), of_score)
        if not cells:
            answers = [None if task is None else task[2] for task in tasks[::repeats]]
            self.index.add_scores(0, [state_of(outcome, None) for outcome in outcomes], disagree=texts_disagree(answers))
        return [row.id, prompts.prompts, self._carried(row), self._expected_texts(row), tasks]

    def _carried(self, row: Row | BadRow) -> list[str | None]:
        if isinstance(row, BadRow):
            return []
        values = [row.columns.get(name) for name in self.columns]
        return [None if value is None else cut(as_text(value), self._longest) for value in values]

    def _right_labels(self, score: int, row: Row | BadRow) -> Sequence[str]:
        """Return the right labels of a row; none for a row without labels."""
        try:
            return [] if isinstance(row, BadRow) else self._readers[score].expected(self._expected[score](row))
        except ExpectedError:
            return []

    def _expected_texts(self, row: Row | BadRow) -> list[str | None]:
        texts: list[str | None] = []
        for expected in self._expected:
            try:
                value = None if isinstance(row, BadRow) else expected(row)
            except ExpectedError:
                value = None
            texts.append(None if value is None else cut(as_text(value), self._longest))
        return texts

    def _task(self, result: Result, variant: int, prompts: RowPrompts, cells: Sequence[ScoreValue | None]) -> list[Any] | None:
        """Return [prompt number, was another sent, answer, reasoning, tool calls, error, record, values]; None without an outcome.

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
        values = [cell and [cell.value, cell.extracted, cell.reason] for cell in cells]
        record = [*times, *tokens, outcome.cost_usd, outcome.attempts]
        other = key is not None and key != outcome.key
        return [prompts.which[variant], other, text, reasoning, tools, error, record, values]


def _seconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)


@dataclass(frozen=True, slots=True)
class RowPrompts:
    """`prompts` are the different ones. Each variant has in `which` the number of its own and in `keys` its request's, or None for both."""

    prompts: list[list[SentMessage]]
    which: list[int | None]
    keys: list[bytes | None]


class PromptMaker:
    """Makes the prompts of rows again, as the job has them."""

    def __init__(self, variants: Sequence[Variant], longest: int) -> None:
        self._builders = [request_builder(variant, stream=False) for variant in variants]
        looks = [(variant.prompt, variant.parameters.get("tools")) for variant in variants]
        # Variants that differ in other ways than these send one prompt, which is read once.
        self._same_as = [looks.index(look) for look in looks]
        self._longest = longest

    def make(self, row: Row | BadRow) -> RowPrompts:
        """Render the prompts of a row; none for a row that cannot be read."""
        made = RowPrompts([], [], [])
        for variant, builder in enumerate(self._builders):
            try:
                request = None if isinstance(row, BadRow) else builder.build(row)
            except RowError:
                request = None
            made.keys.append(None if request is None else request.key)
            if request is None:
                made.which.append(None)
            elif self._same_as[variant] < variant:
                made.which.append(made.which[self._same_as[variant]])
            else:
                made.which.append(_place(sent_prompt(request, self._longest), made.prompts))
        return made


def _place(prompt: list[SentMessage], known: list[list[SentMessage]]) -> int:
    if prompt not in known:
        known.append(prompt)
    return known.index(prompt)
