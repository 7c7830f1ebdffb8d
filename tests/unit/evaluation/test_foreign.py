"""Answers from other tools' files."""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batch.app.batch_files import export_files, verify_files
from batch.app.evaluate import evaluate_files
from batch.app.sides import file_rules
from batch.errors import InputError
from batch.evaluation.answers import Answer
from batch.evaluation.foreign import read_foreign


def read(folder: Path, *documents: Any, **options: Any) -> list[Answer]:
    """The answers in a file of these lines."""
    path = folder / "answers.jsonl"
    path.write_text("\n".join(document if isinstance(document, str) else json.dumps(document) for document in documents))
    return read_foreign([path], **options)


def test_our_own_lines(tmp_path: Path) -> None:
    """Completions and errors of a run: carried-over columns, facts, failures and repeats."""
    line = {
        "id": "a",
        "variant": "m",
        "completion": "Paris",
        "finish_reason": "length",
        "latency_s": 1.5,
        "cost_usd": 0.1,
        "capital": "Paris",
    }
    first, second, failed = read(
        tmp_path,
        {**line, "usage": {"prompt_tokens": 3}, "tool_calls": None},
        {**line, "finish_reason": "stop"},
        {"id": "b", "variant": "m", "error": {"kind": "api", "code": "server_error"}, "capital": "Rome"},
    )
    assert (first.row.id, first.variant, first.repeat, first.text, first.truncated) == ("a", "m", 0, "Paris", True)
    assert (first.latency_s, first.cost_usd, first.usage, first.row.columns["capital"]) == (1.5, 0.1, {"prompt_tokens": 3}, "Paris")
    assert (second.repeat, second.truncated, second.row.ordinal) == (1, False, 0)
    assert (failed.failure, failed.row.ordinal, failed.row.columns["capital"]) == ("server_error", 1, "Rome")


def test_all_answers_of_a_row_stand_together(tmp_path: Path) -> None:
    """One model's answers after the other's: they are brought together by id."""
    lines = [{"id": row, "model": model, "output": "x"} for model in "ab" for row in range(3)]
    assert [(each.row.id, each.variant) for each in read(tmp_path, *lines)] == [
        ("0", "a"),
        ("0", "b"),
        ("1", "a"),
        ("1", "b"),
        ("2", "a"),
        ("2", "b"),
    ]


def test_any_line_with_an_answer(tmp_path: Path) -> None:
    """The answer's key may be a usual one, or be named; without ids, rows go by their line; structured answers are JSON."""
    assert [each.text for each in read(tmp_path, {"prediction": "x"}, {"prediction": {"a": 1}})] == ["x", '{"a":1}']
    assert [each.row.id for each in read(tmp_path, {"prediction": "x"}, {"prediction": "y"})] == ["0", "1"]
    assert [each.text for each in read(tmp_path, {"said": "x", "output": "y"}, answer="said")] == ["x"]
    parts = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "x"}]
    assert [each.text for each in read(tmp_path, {"output": parts}, {"output": None})] == ["x", None]


def test_openai_batch_output(tmp_path: Path) -> None:
    """Lines of a Batch API result; a status other than 200 and an error are failures."""
    body = {"model": "gpt", "choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    good, refused, expired = read(
        tmp_path,
        {"id": "batch_1", "custom_id": "FR", "response": {"status_code": 200, "body": body}, "error": None},
        {"custom_id": "IT", "response": {"status_code": 429, "body": {"error": {"code": "rate_limit_exceeded"}}}, "error": None},
        {"custom_id": "ES", "response": None, "error": {"code": "batch_expired", "message": "…"}},
    )
    assert (good.row.id, good.variant, good.text, good.failure) == ("FR", "gpt", "Paris", None)
    assert (refused.row.id, refused.failure) == ("IT", "rate_limit_exceeded")
    assert (expired.row.id, expired.failure) == ("ES", "batch_expired")


def promptfoo(index: int, output: str | None, **more: Any) -> dict[str, Any]:
    """One of promptfoo's results."""
    response = {"output": output} if output is not None else {"error": "API error: 500"}
    return {
        "testIdx": index,
        "promptId": "p1",
        "provider": {"id": "openai:gpt"},
        "vars": {"q": index},
        "response": response,
        "latencyMs": 250,
        **more,
    }


@pytest.mark.parametrize("as_lines", [True, False])
def test_promptfoo(tmp_path: Path, as_lines: bool) -> None:
    """As lines and as one document; an assertion that was not met is no failed call; several prompts are variants."""
    results = [promptfoo(0, "Paris", error="Expected Rome"), promptfoo(1, None), promptfoo(0, "Lyon", promptId="p2222222")]
    document = {"evalId": "e", "results": {"version": 3, "results": results}}
    good, other, failed = read(tmp_path, *(results if as_lines else [json.dumps(document, indent=1)]))
    assert (good.text, good.failure, good.latency_s, good.row.columns) == ("Paris", None, 0.25, {"q": 0})
    assert (good.variant, other.variant) == ("openai:gpt prompt p1", "openai:gpt prompt p22222")
    assert (failed.row.id, failed.failure, failed.text) == ("1", "error", None)


def test_inspect(tmp_path: Path) -> None:
    """A log in JSON: target and metadata are columns, epochs are repeats."""
    output = {"choices": [{"message": {"content": "Paris"}, "stop_reason": "max_tokens"}], "time": 2.0}
    samples = [
        {"id": 7, "epoch": 1, "input": "France?", "target": "Paris", "output": output, "metadata": {"part": "Europe"}},
        {"id": 7, "epoch": 2, "input": "France?", "target": "Paris", "output": {"choices": []}, "error": {"message": "x"}},
    ]
    first, second = read(tmp_path, json.dumps({"eval": {"model": "openai/gpt"}, "samples": samples}, indent=1))
    assert (first.variant, first.text, first.truncated, first.latency_s) == ("openai/gpt", "Paris", True, 2.0)
    assert first.row.columns == {"input": "France?", "target": "Paris", "part": "Europe"}
    assert (second.repeat, second.failure) == (1, "error")


def test_columns_of_another_file(tmp_path: Path) -> None:
    """Right values may stand in a file of their own, joined by id; an answer without a row is an error."""
    rows = tmp_path / "rows.csv"
    rows.write_text("code,capital\nFR,Paris\nIT,Rome\n")
    (answer,) = read(tmp_path, {"id": "IT", "output": "Rome"}, rows=rows, row_id="code")
    assert answer.row.columns["capital"] == "Rome"
    with pytest.raises(InputError, match=r"the answer with id 'XX' has no row in .*rows\.csv; --id names the column"):
        read(tmp_path, {"id": "XX", "output": "Rome"}, rows=rows, row_id="code")


ODD_NUMBERS: list[Any] = [True, -7, 2**64, 10**30, 1.5, "many", [3], {"a": 1}]


@pytest.mark.parametrize("odd", ODD_NUMBERS)
def test_counts_and_amounts_that_cannot_be_are_unknown(tmp_path: Path, odd: Any) -> None:
    """A bool, a negative number or one beyond all measure, as tokens, seconds or dollars of a foreign file: unknown, and it is scored."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    line = {
        "id": "a",
        "output": "7",
        "gold": 7,
        "usage": dict.fromkeys(names, odd),
        "latency_s": odd,
        "first_token_s": odd,
        "cost_usd": odd,
    }
    (answer,) = read(tmp_path, line)
    known = odd if odd == 1.5 else None
    assert not any(name in answer.usage for name in names)
    assert (answer.latency_s, answer.first_token_s, answer.cost_usd) == (known, known, known)
    use_file(tmp_path / "answers.jsonl", "number")


@pytest.mark.parametrize("status", [True, 10**30, -1, "200"])
def test_a_status_that_is_none(tmp_path: Path, status: Any) -> None:
    """A bool or a giant number where a status or a code should stand is none: neither "http_True" nor an answer told as failed."""
    body = {"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    (answered,) = read(tmp_path, {"custom_id": "a", "response": {"status_code": status, "body": body}})
    (failed,) = read(tmp_path, {"error": {"code": True}})
    assert (answered.text, answered.failure, failed.failure) == ("x", None, "error")


MISTAKES = [
    (['{"output": "x"}', "{"], r"answers\.jsonl:2: is not JSON"),
    (["[1, 2]"], "must hold JSON objects"),
    ([{"words": "x"}], "has no answer under completion, output, .*; it has: words; --answer names the key"),
    ([""], "holds no answers"),
]


@pytest.mark.parametrize(("lines", "message"), MISTAKES)
def test_files_that_hold_no_answers(tmp_path: Path, lines: list[Any], message: str) -> None:
    """What cannot be read is told with its place."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, *lines)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is an input error."""
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read: No such file"):
        read_foreign([tmp_path / "none.jsonl"])


FORMS: list[list[dict[str, Any]]] = [
    [
        {"id": "a", "model": "m", "output": "x", "finish_reason": "stop", "latency_s": 1.0, "cost_usd": 0.1, "gold": "x"},
        {"id": "b", "completion": [{"type": "text", "text": "x"}], "usage": {"prompt_tokens": 3}, "tool_calls": None, "gold": "y"},
        {"id": "c", "error": {"code": "server_error"}, "gold": "y"},
    ],
    [promptfoo(0, "Paris"), promptfoo(1, None)],
    [{"eval": {"model": "m"}, "samples": [{"id": 1, "output": {"choices": [{"message": {"content": "x"}}], "time": 1}, "metadata": {}}]}],
    [
        {"custom_id": "a", "response": {"status_code": 200, "body": {"model": "m", "choices": [{"message": {"content": "x"}}]}}},
        {"custom_id": "b", "response": None, "error": {"code": "batch_expired", "message": "late"}},
    ],
]
VALUES: list[Any] = [None, True, -1, 1.5, 10**30, "", "x", "\ud800", [], [1], [None], {}, {"a": 1}, {"content": []}]


def mutated(value: Any, chance: random.Random) -> Any:
    """A copy in which some members have another value, or are gone."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if chance.random() > 0.03}
        return {key: chance.choice(VALUES) if chance.random() < 0.08 else mutated(item, chance) for key, item in kept.items()}
    if isinstance(value, list):
        return [chance.choice(VALUES) if chance.random() < 0.08 else mutated(item, chance) for item in value]
    return value


def use_file(path: Path, kind: str) -> None:
    """Score, verify and convert a file. Raises what is not InputError."""
    expected = {} if kind == "json" else {"expected": "gold"}
    with suppress(InputError):
        evaluate_files([path], file_rules(None, {"kind": kind, **expected}))
    with suppress(InputError):
        verify_files([path], None)
    with suppress(InputError):
        export_files([path], "parquet", path.parent / "out")


def check_mutated(folder: Path, seed: int, number: int) -> None:
    """Use files of mutated lines; only InputError may come of them."""
    print(f"seed {seed}")
    for index in range(number):
        chance = random.Random(f"{seed}:{index}")
        lines = mutated(chance.choice(FORMS), chance)
        path = folder / "answers.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        try:
            use_file(path, chance.choice(["exact", "json", "number"]))
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {index}: {type(error).__name__}: {error}\n{path.read_text()}") from error


def test_answers_of_any_form_are_scored_or_refused(tmp_path: Path) -> None:
    """Whatever another tool wrote into a file of results, it is read or named, and never an unexpected exception (issue 13, part 1)."""
    check_mutated(tmp_path, 20261127, 60)


@pytest.mark.long
def test_answers_of_any_form_are_scored_or_refused_long(tmp_path: Path) -> None:
    """As the short one, with many more files and a seed of its own each time."""
    check_mutated(tmp_path, time.time_ns(), 3000)
