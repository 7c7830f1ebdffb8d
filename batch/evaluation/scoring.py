"""Score answers into Parquet files. Only what changed is scored again.

`scores/NAME.parquet` has a line per task: state, value, extracted answer, reason. `scores/_tasks.parquet` has the columns that no
scorer decides: failures, times, costs, tokens, and the input's grouping columns. Both record the state of the run and the version of
the scorer that they were made from; when both are unchanged, a file is read and not written.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from batch.evaluation.answers import Answer, by_row
from batch.evaluation.expected import no_row_can_be_judged
from batch.evaluation.figures.collect import FigureCollector
from batch.evaluation.grading.calibration import LabelledItems
from batch.evaluation.grading.embeddings import EmbeddingGrader, EmbeddingScores
from batch.evaluation.grading.grader_calls import CallOutcomes, Grader, calls_directory, calls_state
from batch.evaluation.grading.judge_grader import JudgeGrader
from batch.evaluation.grading.judge_scores import JudgeScores
from batch.evaluation.grading.labels import open_labels
from batch.evaluation.panel import PANEL, score_panels
from batch.evaluation.parquet import SCORES_SCHEMA, TASKS_SCHEMA, Columns, TableWriter, described, open_table, with_text_columns
from batch.evaluation.row_scorer import RowScorer
from batch.evaluation.scorers import KINDS, ExpectedError, scorer_version
from batch.evaluation.scorers.texts import as_text
from batch.evaluation.table import ScoreValue
from batch.providers.usage import token_count
from batch.records import Row
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, ScoreSettings

TASKS_FILE = "_tasks.parquet"


def scores_path(folder: Path, settings: ScoreSettings) -> Path:
    """Return the address of a score's file."""
    return folder / f"{settings.name}.parquet"


def grouping_columns(scores: Sequence[ScoreSettings]) -> list[str]:
    """Return the input's columns that clusters and slices need, each once."""
    names = [name for score in scores for name in (*score.slices, *([score.cluster] if score.cluster else []))]
    return list(dict.fromkeys(names))


def score_answers(
    answers: Callable[[], Iterable[Answer]], state: str, scores: Sequence[ScoreSettings], folder: Path, run: StoredRun | None = None
) -> tuple[str, ...]:
    """Bring the files in `folder` up to date with the answers, whose `state` is a hash; returns the names of the recomputed scores.

    `answers` are read at most once, row by row (all tasks of a row together), and not at all when nothing changed; once more for each
    changed panel that has figures. `run` is for scores that need a model: they are computed from its replies so far.

    Raises:
        InputError: no row has a right value for a score, or the input cannot be read.
        SetupError: a scorer's file or library is missing.
        StorageError: the disk refuses.
    """
    every, scores = scores, [score for score in scores if score.kind != PANEL]
    versions = {score.name: scorer_version(score) for score in scores}
    states = {score.name: _state(score, state, run) for score in scores}
    stale = [score for score in scores if not _fresh(described(scores_path(folder, score)), states[score.name], versions[score.name])]
    grouping = grouping_columns(every)
    known = described(folder / TASKS_FILE)
    if not stale and known.get("state") == state and set(grouping) <= set(known.get("columns", ())):
        return score_panels(every, folder, answers)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        tasks = stack.enter_context(open_table(folder / TASKS_FILE, with_text_columns(TASKS_SCHEMA, grouping)))
        makers = [_score_maker(score, versions[score.name], folder, run, stack) for score in stale]
        columns: list[str] = []
        for row, of_row in by_row(answers()):
            columns = columns or list(row.columns)
            for answer in of_row:
                tasks.add(_task_line(answer, grouping))
            for maker in makers:
                maker.add_row(row, of_row)
        for maker in makers:
            maker.close(states[maker.settings.name], versions[maker.settings.name], columns)
        # Last: a file without its state is made again.
        tasks.describe({"state": state, "columns": grouping})
    return (*(score.name for score in stale), *score_panels(every, folder, answers))


def _state(score: ScoreSettings, state: str, run: StoredRun | None) -> str:
    """Hash everything that a score's values, and the statistics beside them, depend on."""
    if score.asked is None:
        return state
    if run is None:
        raise ValueError(f"score {score.name}: a model is asked about the answers of a run only")
    labels = open_labels(run.directory, score).digest if score.judge is not None else ""
    return calls_state(state + labels, calls_directory(run.directory, score), score)


def _fresh(metadata: dict[str, Any], state: str, version: str) -> bool:
    return metadata.get("state") == state and metadata.get("version") == version


def _task_line(answer: Answer, grouping: Sequence[str]) -> tuple[Any, ...]:
    row, usage = answer.row, answer.usage
    return (
        row.ordinal,
        row.id,
        answer.variant,
        answer.repeat,
        answer.failure,
        answer.missing,
        answer.latency_s,
        answer.first_token_s,
        answer.cost_usd,
        token_count(usage.get("prompt_tokens")),
        token_count(usage.get("completion_tokens")),
        *(None if (value := row.columns.get(name)) is None else as_text(value) for name in grouping),
    )


class _ScoreMaker(ABC):
    """Computes one score. `_left_out` counts the rows without a right value, by reason."""

    def __init__(self, settings: ScoreSettings, writer: TableWriter) -> None:
        self.settings = settings
        self._writer = writer
        self._figures = FigureCollector(settings)
        self._left_out: Counter[str] = Counter()
        self._judged = 0

    def add_row(self, row: Row, answers: Sequence[Answer]) -> None:
        """Write the scores of all answers to a row, or none when the row has no right value."""
        try:
            cells = self._cells(row, answers)
        except ExpectedError as error:
            self._left_out[str(error)] += 1
            return
        self._judged += 1
        self._figures.add_row(row, answers, [cell for cell, _ in cells])
        for answer, (cell, digest) in zip(answers, cells, strict=True):
            self._writer.add(
                (row.ordinal, row.id, answer.variant, answer.repeat, cell.state, cell.value, cell.extracted, cell.reason, digest)
            )

    def close(self, state: str, version: str, columns: Sequence[str]) -> None:
        """Describe the file. Raises InputError when no row could be judged although there are rows."""
        if self._left_out and not self._judged:
            raise no_row_can_be_judged(self.settings, self._left_out.most_common(1)[0][0], columns)
        self._writer.describe(
            {
                "state": state,
                "version": version,
                "score": self.settings.name,
                "kind": self.settings.kind,
                "left_out": self._left_out.total(),
                "left_out_example": next((reason for reason, _ in self._left_out.most_common(1)), None),
                "figures": self._figures.document(),
                **self._more(),
            }
        )

    @abstractmethod
    def _cells(self, row: Row, answers: Sequence[Answer]) -> list[tuple[ScoreValue, int | None]]:
        """Score all answers to a row. Where scores are reused, each has a digest of what was judged. Raises ExpectedError."""

    def _more(self) -> dict[str, Any]:
        return {}


class _ScorerScores(_ScoreMaker):
    """Computes a score by a scorer; `kept` are earlier scores of a slow one."""

    def __init__(self, settings: ScoreSettings, writer: TableWriter, kept: Mapping[int, ScoreValue]) -> None:
        super().__init__(settings, writer)
        self._kept = kept
        self._rows = RowScorer(settings)

    def _cells(self, row: Row, answers: Sequence[Answer]) -> list[tuple[ScoreValue, int | None]]:
        expected = self._rows.expected(row)
        slow = KINDS[self.settings.kind].slow
        digests = [_digest(answer, expected) if slow else None for answer in answers]
        return [(self._cell(answer, expected, digest), digest) for answer, digest in zip(answers, digests, strict=True)]

    def _cell(self, answer: Answer, expected: Any, digest: int | None) -> ScoreValue:
        if digest is not None and digest in self._kept and not answer.missing and answer.failure is None:
            return self._kept[digest]
        return self._rows.cell(answer, expected)


class _GradedScores(_ScoreMaker):
    """Computes a score from a model's replies, which are read and never requested here."""

    def __init__(self, settings: ScoreSettings, writer: TableWriter, scores: JudgeScores | EmbeddingScores) -> None:
        super().__init__(settings, writer)
        self._scores = scores

    def _cells(self, row: Row, answers: Sequence[Answer]) -> list[tuple[ScoreValue, int | None]]:
        return [(cell, None) for cell in self._scores.cells(row, answers)]

    def _more(self) -> dict[str, Any]:
        return {"asked": self._scores.stats.document()}


class _JudgedScores(_GradedScores):
    """Computes a judge's score, and compares it with people's labels."""

    def __init__(self, settings: ScoreSettings, writer: TableWriter, scores: JudgeScores, labelled: LabelledItems) -> None:
        super().__init__(settings, writer, scores)
        self._judge = scores
        self._labelled = labelled

    def _more(self) -> dict[str, Any]:
        stats = self._judge.stats
        stats.person = self._labelled.stats
        stats.corrected = self._labelled.corrected
        stats.bias = self._judge.bias.found(self._labelled.generosity)
        return super()._more()


def _score_maker(settings: ScoreSettings, version: str, folder: Path, run: StoredRun | None, stack: ExitStack) -> _ScoreMaker:
    path = scores_path(folder, settings)
    if settings.asked is not None and run is not None:
        return _graded_scores(settings, path, run, stack)
    kept = _kept(path) if KINDS[settings.kind].slow and described(path).get("version") == version else {}
    return _ScorerScores(settings, stack.enter_context(open_table(path, SCORES_SCHEMA)), kept)


def make_grader(settings: ScoreSettings, job: Job) -> Grader:
    """Make the grader of a score that needs a model. Raises ValueError for a score that needs none."""
    return EmbeddingGrader(settings) if settings.embedder is not None else JudgeGrader(settings, job)


def _graded_scores(settings: ScoreSettings, path: Path, run: StoredRun, stack: ExitStack) -> _ScoreMaker:
    job, directory = run.job, run.directory
    outcomes = stack.enter_context(CallOutcomes(calls_directory(directory, settings), settings))
    writer = stack.enter_context(open_table(path, SCORES_SCHEMA))
    if settings.embedder is not None:
        return _GradedScores(settings, writer, EmbeddingScores(EmbeddingGrader(settings), outcomes))
    labelled = LabelledItems(settings, open_labels(directory, settings))
    scores = JudgeScores(JudgeGrader(settings, job), job, outcomes, watch=labelled.add)
    return _JudgedScores(settings, writer, scores, labelled)


def _kept(path: Path) -> dict[int, ScoreValue]:
    """Read the scores of an earlier scoring, by the digest of what was judged."""
    table = Columns(path)
    names = ("digest", "value", "state", "extracted", "reason")
    lines = zip(*(table.values(name) for name in names), strict=True)
    return {digest: ScoreValue(*cell) for digest, *cell in lines if cell[1] in {"scored", "unscored"}}


def _digest(answer: Answer, expected: Any) -> int:
    judged = orjson.dumps([answer.text, answer.tool_calls, expected, dict(answer.row.columns)], default=str, option=orjson.OPT_NON_STR_KEYS)
    return int.from_bytes(hashlib.blake2b(judged, digest_size=8).digest(), "big", signed=True)
