"""Write scores in the format of Every Eval Ever: a JSON file for each variant, and its samples as lines of JSON beside it.

Source: every_eval_ever/schemas/{eval,instance_level_eval}.schema.json, version 0.3.0, of github.com/evaleval/every_eval_ever. The folders
are those of its datastore, which the schema requires: data/BENCHMARK/DEVELOPER/MODEL/UUID.json and UUID_samples.jsonl.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import orjson

from batch._version import __version__
from batch.evaluation.answers import Answer
from batch.evaluation.expected import expected_value
from batch.evaluation.findings import Findings, Standing
from batch.evaluation.parquet import ScoresReader
from batch.evaluation.reading import ScoreResult
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scorers.texts import as_text, expected_texts
from batch.evaluation.scoring import scores_path
from batch.evaluation.table import ScoreValue
from batch.providers.usage import token_count
from batch.storage import replace_atomically
from batch.writers.values import clean

SCHEMA_VERSION = "0.3.0"
_GENERATION = frozenset({"temperature", "top_p", "top_k", "max_tokens"})
_QUESTIONS = ("prompt", "question", "input", "text")


@dataclass(frozen=True, slots=True, eq=False)
class EvalRecord:
    """The content to write: the evaluation's name, its scores with their findings, and the folder of the scores' files.

    `models` has PROVIDER/MODEL by variant, `parameters` the request parameters where they are known; `organization` names who evaluated.
    """

    name: str
    scores: Sequence[tuple[ScoreResult, Findings]]
    folder: Path
    models: Mapping[str, str]
    organization: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write_every_eval(record: EvalRecord, answers: Iterable[Answer], folder: Path, now: datetime) -> list[Path]:
    """Write the files of each variant into `folder`; return the paths of the JSON files. Raises StorageError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    readers = [(each, ScoresReader(scores_path(record.folder, each.settings)), expected_value(each.settings)) for each, _ in record.scores]
    lines: dict[str, list[bytes]] = {name: [] for name in record.models}
    stamp = str(int(now.timestamp()))
    for answer in answers:
        for score, reader, expected in readers:
            value = reader.take(answer.row.ordinal, answer.variant, answer.repeat)
            if value is None or value.state == "missing":
                continue
            try:
                reference = [text for text in expected_texts(expected(answer.row)) if score.settings.expected is not None]
            except ExpectedError:
                reference = []
            line = _sample(record, score.settings.name, answer, value, reference)
            lines[answer.variant].append(orjson.dumps({**line, "evaluation_id": _identifier(record, answer.variant, stamp)}))
    return [_write(record, variant, folder, samples, stamp) for variant, samples in lines.items()]


def _identifier(record: EvalRecord, variant: str, stamp: str) -> str:
    # The variant's name, since a model may have several variants.
    return f"{record.name}/{variant}/{stamp}"


def _place(record: EvalRecord, variant: str, stamp: str) -> PurePosixPath:
    """Return the address of a variant's samples, relative to the folder."""
    developer, model = (["unknown", *record.models[variant].split("/")])[-2:]
    digest = hashlib.sha256(_identifier(record, variant, stamp).encode()).digest()
    # As a random UUID (version 4, RFC 9562), which the schema requires.
    name = UUID(bytes=digest[:16], version=4)
    return PurePosixPath("data", *map(_slug, (record.name, developer, model)), f"{name}_samples.jsonl")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "unknown"


def _write(record: EvalRecord, variant: str, folder: Path, samples: Sequence[bytes], stamp: str) -> Path:
    place = _place(record, variant, stamp)
    beside = folder / place
    path = beside.with_name(beside.name.replace("_samples.jsonl", ".json"))
    beside.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(sample + b"\n" for sample in samples)
    # Before the document, which names this file and its checksum.
    with replace_atomically(beside) as file:
        file.write(data)
    document = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _identifier(record, variant, stamp),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_type": "evaluation_run",
            "source_organization_name": record.organization,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "promptmill", "version": __version__},
        "model_info": {
            "name": variant,
            "id": record.models[variant],
            # Required by the schema, and nothing that an answer shows.
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": list(_results(record, variant)),
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": str(place),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(data).hexdigest(),
            "total_rows": len(samples),
        },
    }
    with replace_atomically(path) as file:
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return path


def _results(record: EvalRecord, variant: str) -> Iterator[dict[str, Any]]:
    for score, findings in record.scores:
        standing = next((one for one in findings.standings if one.variant == variant), None)
        if standing is None or standing.summary.strict is None:
            continue
        kind = {"score_type": "binary"} if findings.binary else {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0}
        yield {
            "evaluation_name": score.settings.name,
            "source_data": {"dataset_name": record.name, "source_type": "other"},
            "metric_config": {
                "evaluation_description": f"{score.settings.kind}; failed calls and unreadable answers count 0",
                "lower_is_better": False,
                **kind,
            },
            "score_details": _details(standing),
            **_generation(record.parameters.get(variant, {})),
        }


def _generation(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the request parameters: those that the schema names as numbers, the others as texts."""
    if not parameters:
        return {}
    named = {key: value for key, value in parameters.items() if key in _GENERATION and type(value) in (int, float)}
    others = {key: clean(as_text(value)) for key, value in parameters.items() if key not in named}
    return {"generation_config": {"generation_args": named, **({"additional_details": others} if others else {})}}


def _details(standing: Standing) -> dict[str, Any]:
    interval, counts = standing.summary.strict, standing.summary.counts
    if interval is None:
        return {"score": 0.0}
    counted = {"scored": counts.scored, "unscored": counts.unscored, "failed": counts.failed, "missing": counts.missing}
    limits = {"lower": interval.low, "upper": interval.high, "confidence_level": 0.95, "method": "Wilson score at effective rows"}
    return {
        "score": interval.estimate,
        "details": {name: str(count) for name, count in counted.items()},
        "uncertainty": {"confidence_interval": limits, "num_samples": interval.rows},
    }


def _sample(record: EvalRecord, score: str, answer: Answer, value: ScoreValue, reference: Sequence[str]) -> dict[str, Any]:
    columns = answer.row.columns
    question = next((columns[name] for name in _QUESTIONS if isinstance(columns.get(name), str)), None)
    raw = clean(question if question is not None else as_text(dict(columns)))
    found = clean(value.extracted or "")
    attribution = {"turn_idx": 0, "source": "output.raw", "extracted_value": found, "extraction_method": score, "is_terminal": True}
    points = value.value or 0.0
    line: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "model_id": record.models[answer.variant],
        "evaluation_name": score,
        "sample_id": answer.row.id,
        "interaction_type": "single_turn",
        "input": {"raw": raw, "reference": [clean(text) for text in reference]},
        "output": {"raw": [] if answer.text is None else [clean(answer.text)]},
        "answer_attribution": [attribution] if value.extracted is not None else [],
        "evaluation": {"score": points, "is_correct": points == 1.0},
        "metadata": {"state": value.state, "reason": clean(value.reason), "repeat": str(answer.repeat)},
    }
    if answer.failure is not None:
        line["error"] = answer.failure
    given, made = (token_count(answer.usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    if given is not None and made is not None:
        line["token_usage"] = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    if answer.latency_s is not None and answer.latency_s >= 0:
        line["performance"] = {"latency_ms": round(1000 * answer.latency_s, 3)}
    return line
