"""Write the report of files of answers, or of two runs side by side, from results in the form of a run's. Nothing is sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from batch.app.compare_runs import with_scores
from batch.app.sides import FileScoring, ScoringTarget, open_target, without_models
from batch.errors import InputError, RowError
from batch.evaluation.answers import Answer, run_answers
from batch.evaluation.foreign.formats import USUAL_NAMES
from batch.evaluation.reading import read_evaluation
from batch.evaluation.report.page import Evaluated, write_page
from batch.evaluation.scoring import score_answers
from batch.evaluation.verdict import verdicts_of
from batch.readers.builders import request_builder
from batch.records import ErrorInfo, ErrorKind, Outcome, Row
from batch.results.join import Result
from batch.settings import InputSettings, Job, OutputSettings, PromptSettings, ProviderSettings, RunSettings, ScoreSettings, Variant

_QUESTIONS = ("prompt", "question", "input", "text", "user")
MOST_COLUMNS = 12
"""The number of columns of a file that are shown beside each sample."""
_NOT_CARRIED = frozenset({"id", "variant", "model", "repeat", "usage", "tool_calls", "attempts", "error", "finish_reason"})
_NOT_CARRIED |= {"latency_s", "first_token_s", "cost_usd"}
# A variant needs a provider; nothing is ever sent to this one.
_NOWHERE = ProviderSettings(name="file", base_url="http://127.0.0.1/v1")


@dataclass(frozen=True, slots=True, eq=False)
class _Gathered:
    """Answers of all targets by row, variant and repeat, the rows in the order of their first answer."""

    name: str
    variants: tuple[Variant, ...]
    rows: tuple[Row, ...]
    answers: Mapping[tuple[str, str, int], Answer]
    repeats: int


def report_sides(names: Sequence[str], files: FileScoring, path: Path, job_file: Path | None = None) -> Path:
    """Write one report of all targets. Files alone are one side, as for `score`; with a run among them each target is a side.

    All are scored by `files`, by the scores of `job_file`, or by those of the last run given. Scores that call a model are not in the
    report, since their verdicts belong to one run.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
    """
    targets = [open_target(name) for name in names]
    scoring = with_scores(files, targets[::-1], job_file)
    gathered = _gather(targets, scoring)
    scores = without_models(scoring.scores)
    answers = list(_in_order(gathered))
    names = [variant.name for variant in gathered.variants]
    job = _job(gathered, scores, scoring.answer)
    with tempfile.TemporaryDirectory(prefix="promptmill-") as folder:
        score_answers(lambda: answers, "", scores, Path(folder))
        evaluation = read_evaluation(Path(folder), scores, names)
        scored = list(zip(evaluation.scores, verdicts_of(evaluation), strict=True))
        evaluated = Evaluated(scored, (), evaluation.variants, Path(folder))
        size = sum(len(answer.text or "") for answer in answers)
        write_page(path, job, _results(gathered), size, evaluated, datetime.now(UTC))
    return path


def _gather(targets: Sequence[ScoringTarget], scoring: FileScoring) -> _Gathered:
    if all(target.run is None for target in targets):
        paths = [target.path for target in targets]
        return _joined(", ".join(path.name for path in paths), [(*_of_files(paths, scoring), "")])
    sides = []
    for target in targets:
        if (run := target.run) is not None:
            sides.append((list(run.job.variants), list(run_answers(run)), target.name))
        else:
            sides.append((*_of_files([target.path], scoring), target.name))
    return _joined(" and ".join(target.name for target in targets), sides)


def _of_files(paths: Sequence[Path], scoring: FileScoring) -> tuple[list[Variant], list[Answer]]:
    """The variants in files, as far as the files tell, and their answers."""
    answers = scoring.read(paths)
    names = dict.fromkeys(answer.variant for answer in answers)
    return [_file_variant(name, answers[0].row) for name in names], answers


def _joined(name: str, sides: Sequence[tuple[list[Variant], list[Answer], str]]) -> _Gathered:
    """Join all sides' answers by row id; a variant that several sides have gets its side's name as well."""
    seen = [variant.name for variants, _, _ in sides for variant in variants]
    columns: dict[str, dict[str, Any]] = {}
    order: dict[str, Row] = {}
    variants: list[Variant] = []
    found: dict[tuple[str, str, int], Answer] = {}
    repeats = 1
    for own, answers, label in sides:
        named = {each.name: f"{each.name} ({label})" if seen.count(each.name) > 1 else each.name for each in own}
        variants += [replace(each, name=named[each.name], slug=f"{len(variants) + at}") for at, each in enumerate(own)]
        for answer in answers:
            order.setdefault(answer.row.id, replace(answer.row, ordinal=len(order)))
            # The newer side's columns fill in what the older one lacks.
            columns[answer.row.id] = {**answer.row.columns, **columns.get(answer.row.id, {})}
            found[answer.row.id, named[answer.variant], answer.repeat] = replace(answer, variant=named[answer.variant])
            repeats = max(repeats, answer.repeat + 1)
    rows = tuple(replace(row, columns=columns[row.id]) for row in order.values())
    if not rows:
        raise InputError(f"{name}: holds no answers")
    return _Gathered(name, tuple(variants), rows, found, repeats)


def _file_variant(name: str, row: Row) -> Variant:
    question = next((column for column in _QUESTIONS if isinstance(row.columns.get(column), str)), None)
    prompt = PromptSettings(user=f"{{{{ {question} }}}}" if question else "(the file has no prompt)")
    return Variant(name=name, slug=name, provider=_NOWHERE, model=name, parameters={}, prompt=prompt)


def _in_order(gathered: _Gathered) -> Iterator[Answer]:
    for row in gathered.rows:
        for variant in gathered.variants:
            for repeat in range(gathered.repeats):
                answer = gathered.answers.get((row.id, variant.name, repeat))
                yield Answer(row, variant.name, repeat, missing=True) if answer is None else replace(answer, row=row)


def _results(gathered: _Gathered) -> Iterator[Result]:
    builders = {variant.name: request_builder(variant, stream=False) for variant in gathered.variants}
    variants = {variant.name: variant for variant in gathered.variants}
    for answer in _in_order(gathered):
        try:
            # The page compares it with the row's rendered prompt, to show when another one was sent.
            key = builders[answer.variant].build(answer.row).key
        except RowError:
            key = b""
        yield Result(answer.row, variants[answer.variant], answer.repeat, None if answer.missing else _outcome(answer, key))


def _outcome(answer: Answer, key: bytes) -> Outcome:
    """Make the outcome that a run would have recorded for the task, as far as the answer has the data."""
    sent = None if answer.latency_s is None else 0.0
    error = None if answer.failure is None else ErrorInfo(ErrorKind.API, answer.failure, answer.failure)
    message = {"role": "assistant", "content": answer.text, **({"tool_calls": answer.tool_calls} if answer.tool_calls else {})}
    finish = answer.finish_reason or ("length" if answer.truncated else "stop")
    body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})
    return Outcome(
        answer.row.ordinal,
        answer.row.id,
        answer.repeat,
        key,
        1,
        error=error,
        api="chat/completions",
        finish_reason=None if error else finish,
        sent=sent,
        first_token=answer.first_token_s,
        done=answer.latency_s,
        usage=dict(answer.usage),
        cost_usd=answer.cost_usd,
        response=None if error else body,
    )


def _job(gathered: _Gathered, scores: Sequence[ScoreSettings], answer_key: str | None) -> Job:
    first = gathered.rows[0]
    said = [answer.text for (row_id, _, _), answer in gathered.answers.items() if row_id == first.id and answer.text is not None]
    # A file's line holds the answer of one variant, which is no column of the row.
    answered = {key for key in (*USUAL_NAMES, answer_key) if key is not None and first.columns.get(key) in said}
    columns = [name for name in first.columns if name not in _NOT_CARRIED and name not in answered]
    return Job(
        name=gathered.name,
        input=InputSettings(paths=()),
        variants=gathered.variants,
        run=RunSettings(repeats=gathered.repeats),
        output=OutputSettings(dir="", columns=tuple(columns[:MOST_COLUMNS])),
        scores=tuple(scores),
    )
