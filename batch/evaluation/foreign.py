"""Answers from files that another tool, or another run, wrote: one JSON object per line, or one document with a list of samples.

Known by their keys: promptmill's own completions and errors; results of OpenAI's Batch API and of vLLM's run-batch; exports of promptfoo
(lines, or {results: {results}}) and of inspect ({eval, samples}); and any line with its answer under a usual name, or the one asked for.
The stats: platform.openai.com/docs/guides/batch; EvaluateResult in promptfoo's src/types/index.ts; EvalSample in inspect's log/_log.py and
ModelOutput in its model/_model_output.py.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from batch.errors import InputError, PromptmillError
from batch.evaluation.answers import Answer
from batch.providers.replies import read_reply
from batch.readers import Dataset
from batch.records import Row
from batch.results.openai_batch.files import is_batch_answer, only_model, read_batch_line
from batch.settings import InputSettings

USUAL_NAMES = ("completion", "output", "response", "answer", "prediction", "text")
"""The names under which an answer is looked for, in this order."""

ForeignLine = tuple[str, str, dict[str, Any], dict[str, Any]]
"""id, variant, what is said of the answer (fields of Answer), and the row's columns."""


def read_foreign(paths: Sequence[Path], *, answer: str | None = None, rows: Path | None = None, row_id: str | None = None) -> list[Answer]:
    """The answers in `paths`, all of a row together, rows in the order of their first answer.

    `answer` names the key of the answer where it is none of the known ones. `rows` is a file (JSONL, CSV, Parquet) with further columns,
    joined by its column `row_id`. Several answers of one variant to one id are repeats, but in two files they are two variants.

    Raises:
        InputError: a file cannot be read, holds no answers that are known, or an answer's row is not in `rows`.
    """
    known = {} if rows is None else _rows_by_id(rows, row_id)
    found: dict[str, Row] = {}
    answers: dict[str, list[Answer]] = defaultdict(list)
    times: dict[tuple[str, str], int] = defaultdict(int)
    for path, lines in _distinct_variants([(path, list(_checked(path, _lines(path, answer)))) for path in paths]):
        for number, (identifier, variant, said, columns) in enumerate(lines, start=1):
            identity = identifier or str(number - 1)
            if rows is not None and identity not in known:
                raise InputError(
                    f"{path}: the answer with id {identity[:80]!r} has no row in {rows}; --id names the column that holds the ids"
                )
            if identity not in found:
                found[identity] = Row(len(found), identity, {**columns, **known.get(identity, {})}, str(path), number)
            answers[identity].append(Answer(found[identity], variant, times[identity, variant], **said))
            times[identity, variant] += 1
    if not answers:
        raise InputError(f"{', '.join(map(str, paths))}: holds no answers")
    return [each for identity in found for each in answers[identity]]


def _distinct_variants(files: Sequence[tuple[Path, list[ForeignLine]]]) -> Iterator[tuple[Path, Iterable[ForeignLine]]]:
    """The lines of each file; a variant that answers the same task in two files becomes a variant of each."""
    tasks: dict[tuple[str, str, Any], set[int]] = defaultdict(set)
    for at, (_, lines) in enumerate(files):
        for number, (identifier, variant, _, columns) in enumerate(lines):
            tasks[variant, identifier or str(number), columns.get("repeat")].add(at)
    twice = {variant for (variant, _, _), found in tasks.items() if len(found) > 1}
    labels = _labels([path for path, _ in files])
    for label, (path, lines) in zip(labels, files, strict=True):
        yield path, ((row, f"{variant} ({label})" if variant in twice else variant, said, columns) for row, variant, said, columns in lines)


def _labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ."""
    for parts in range(1, max((len(path.absolute().parts) for path in paths), default=1) + 1):
        labels = ["/".join(path.absolute().parts[-parts:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    raise InputError(f"{paths[0]}: the same file is given twice")


def _checked(path: Path, lines: Iterator[ForeignLine]) -> Iterator[ForeignLine]:
    """Pass on the lines; what they hold in place of what their format has makes an InputError, whatever it raises."""
    number = 0
    try:
        for line in lines:
            number += 1
            yield line
    except PromptmillError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: answer {number + 1} is not of the format that the file's first lines have: {type(error).__name__}: {error}"
        ) from error


def _rows_by_id(rows: Path, row_id: str | None) -> dict[str, Mapping[str, Any]]:
    dataset = Dataset(InputSettings(paths=(str(rows),), id=row_id))
    dataset.check_ids()
    return {row.id: row.columns for batch in dataset.batches() for row in batch if isinstance(row, Row)}


def _lines(path: Path, answer: str | None) -> Iterator[ForeignLine]:
    documents = list(_documents(path))
    if not all(isinstance(document, dict) for document in documents):
        raise InputError(f"{path}: must hold JSON objects")
    if len(documents) == 1 and isinstance(documents[0].get("samples"), list):
        yield from _of_inspect(documents[0])
        return
    if len(documents) == 1 and isinstance(results := documents[0].get("results"), dict) and isinstance(results.get("results"), list):
        documents = results["results"]
    if answer is None and documents and documents[0].keys() >= {"vars", "provider", "testIdx"}:
        yield from _of_promptfoo(documents)
    elif answer is None and documents and all(map(is_batch_answer, documents)):
        yield from _of_batches(documents)
    else:
        yield from (_of_line(document, answer, path) for document in documents)


def _documents(path: Path) -> Iterator[Any]:
    """The one JSON document in a file, or those of its lines."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: is not JSON: {error}") from error
        return
    yield from document if isinstance(document, list) else [document]


def _of_line(line: dict[str, Any], answer: str | None, path: Path) -> ForeignLine:
    name = answer or next((usual for usual in USUAL_NAMES if usual in line), None)
    if name is None or (name not in line and not line.get("error")):
        if not line.get("error"):
            raise InputError(
                f"{path}: has no answer under {name or ', '.join(USUAL_NAMES)}; it has: {', '.join(line)}; --answer names the key"
            )
        name = None
    said = _failed(line["error"]) if line.get("error") else _own(line, line.get(name) if name else None)
    return _id(line.get("id")), str(line.get("variant") or line.get("model") or "answers"), said, line


def _own(line: Mapping[str, Any], text: Any) -> dict[str, Any]:
    usage, calls, reason = line.get("usage"), line.get("tool_calls"), line.get("finish_reason")
    return {
        **{key: _number(line.get(key)) for key in ("latency_s", "first_token_s", "cost_usd")},
        "tool_calls": calls if isinstance(calls, list) and all(isinstance(call, dict) for call in calls) else None,
        "text": _text(text),
        "truncated": reason == "length",
        **({"finish_reason": reason} if isinstance(reason, str) else {}),
        "usage": usage if isinstance(usage, dict) else {},
    }


def _of_batches(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    answers = [read_batch_line(line) for line in lines]
    # Lines of failed requests do not say which model failed.
    model = only_model(answer.model for answer in answers) or "answers"
    for answer in answers:
        outcome = answer.outcome
        said: dict[str, Any] = {}
        if outcome.error is not None:
            said = {"failure": outcome.error.code}
        elif outcome.api is not None and outcome.response is not None:
            reply = read_reply(outcome.api, outcome.response)
            said = {"text": reply.text, "tool_calls": reply.tool_calls}
            said |= {"truncated": reply.finish_reason == "length", "usage": reply.usage or {}}
        yield answer.custom_id, answer.model or model, said, {}


def _of_promptfoo(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    several_prompts = len({line.get("promptId") for line in lines}) > 1
    for line in lines:
        response, provider, latency = line.get("response") or {}, line["provider"], line.get("latencyMs")
        variant = str((provider.get("label") or provider.get("id")) if isinstance(provider, dict) else provider)
        if several_prompts:
            variant += f" prompt {str(line.get('promptId'))[:6]}"
        # An assertion that was not met is an error of its own there, beside an answer.
        error = response.get("error") or (line.get("error") if response.get("output") is None else None)
        said = {
            "text": _text(response.get("output")),
            "cost_usd": _number(line.get("cost")),
            "latency_s": None if (milliseconds := _number(latency)) is None else milliseconds / 1000,
        }
        yield _id(line["testIdx"]), variant, _failed(error) if error else said, dict(line["vars"] or {})


def _of_inspect(document: Mapping[str, Any]) -> Iterator[ForeignLine]:
    variant = str((document.get("eval") or {}).get("model") or "answers")
    for sample in document["samples"]:
        columns = {"input": sample.get("input"), "target": sample.get("target"), **(sample.get("metadata") or {})}
        output = sample.get("output") or {}
        choice: dict[str, Any] = next(iter(output.get("choices") or []), {})
        if sample.get("error") or output.get("error") or not choice:
            yield _id(sample.get("id")), variant, _failed(sample.get("error") or output.get("error") or "no_choices"), columns
            continue
        message = choice.get("message") or {}
        said = {"text": _text(message.get("content")), "truncated": choice.get("stop_reason") in {"max_tokens", "model_length"}}
        yield _id(sample.get("id")), variant, {**said, "latency_s": _number(output.get("time"))}, columns


def _failed(error: Any) -> dict[str, Any]:
    """A failed task; what is no code of its own is called "error"."""
    code = error.get("code") if isinstance(error, dict) else error
    return {"failure": code if isinstance(code, str) and code.isidentifier() else f"http_{code}" if isinstance(code, int) else "error"}


def _text(content: Any) -> str | None:
    """An answer's text: as it is, of its text parts, or a structured answer as JSON."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content):
        texts = [str(part["text"]) for part in content if part["type"] == "text" and "text" in part]
        return "".join(texts) if texts else None
    return orjson.dumps(content).decode()


def _number(value: Any) -> float | None:
    """A figure that another tool wrote; None for what is no finite number."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _id(value: Any) -> str:
    return "" if value is None else str(value)
