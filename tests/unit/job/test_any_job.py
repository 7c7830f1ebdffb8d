"""Fuzzing: job files with changed bytes and values are a job or a JobError, never another exception."""

from __future__ import annotations

import copy
import random
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batch.errors import JobError, PromptmillError
from batch.job import from_document, load

JOB = r"""
name = "all"
[input]
path = ["rows.jsonl", "more-*.csv"]
id = "id"
where = 'label in ["a", "b"] and score > 3'
sample = 10
seed = 1
limit = 5
delimiter = ";"
encoding = "cp1252"
[prompt]
system = "You are {{ role | default('x') }}."
user = "{{ text }}"
[provider.house]
base_url = ["http://127.0.0.1:1/v1", "${HOST:-http://127.0.0.1:2}/v1"]
api_key_env = "HOUSE_KEY"
headers = { x-team = "a" }
[[model]]
id = "house/m"
name = "one"
temperature = 0
max_tokens = 5
price = { input = 1.0, output = 2.0 }
extra_body = { top_k = 1 }
[model.sweep]
top_p = [0.5, 1.0]
[[model]]
id = "openai/gpt-5-mini"
[model.prompt]
messages = [{ role = "user", content = [{ type = "text", text = "{{ text }}" }] }]
[run]
concurrency = "auto"
requests_per_minute = 100
attempts = 3
max_cost_usd = 1.5
repeats = 2
stream = true
[output]
dir = "out"
format = "parquet"
columns = ["label as tag", "score"]
[[score]]
kind = "exact"
expected = "gold"
slices = ["part"]
[[score]]
name = "re"
kind = "regex"
pattern = '(\d+)'
[[score]]
name = "judged"
kind = "judge"
judge = "house/j"
price = { input = 1.0, output = 2.0 }
rubric = "Is it good?"
[[gate]]
score = "exact"
variant = "openai/gpt-5-mini"
min = 0.5
"""
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**30, "", "x", "\ud800", "a\nb", "\0", "${", "{{", "{% for %}"),
    *([], [[]], [1], [None], {}, {"a": 1}, {"": {"": ""}}, "x" * 10_000, ["x"] * 50),
]
PIECES = [*"[]{}=\"'\n\\#\0é", "[[", "nan", "1e999", "9" * 5000, "[[score]]\n", "[input]\n", "a.b.c = 1\n"]


def mutated_values(value: Any, chance: random.Random) -> Any:
    """A copy in which some settings have another value, or are gone."""
    if chance.random() < 0.05:
        return copy.deepcopy(chance.choice(VALUES))
    if isinstance(value, dict):
        return {key: mutated_values(item, chance) for key, item in value.items() if chance.random() > 0.02}
    return [mutated_values(item, chance) for item in value] if isinstance(value, list) else value


def mutated_text(text: str, chance: random.Random) -> bytes:
    """The text with pieces put in, cut out, and doubled; sometimes with a byte that is not UTF-8."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        end = at + chance.randint(0, 30)
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[end:]
            case 2:
                text = text[:end] + text[at:]
            case _:
                text = text[:at] + chance.choice(PIECES) + text[end:]
    data = text.encode()
    return data if chance.random() > 0.1 else data[: len(data) // 2] + b"\xff" + data[len(data) // 2 :]


def check(folder: Path, seed: int, number: int) -> None:
    """Load mutated jobs, as files and as the documents that run.json keeps; count those that could be used."""
    print(f"seed {seed}")
    document, path = tomllib.loads(JOB), folder / "job.toml"
    for index in range(number):
        chance = random.Random(f"{seed}:{index}")
        try:
            if chance.random() < 0.5:
                from_document({key: mutated_values(value, chance) for key, value in document.items() if chance.random() > 0.02})
            else:
                path.write_bytes(mutated_text(JOB, chance))
                load(path)
        except PromptmillError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}, job {index}: {type(error).__name__}: {error}") from error


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without other files."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_job_that_is_mutated_is_a_job(folder: Path) -> None:
    """Else all mutations would fail for one reason."""
    (folder / "job.toml").write_text(JOB)
    assert len(load(folder / "job.toml").job.variants) == 3


def test_half_a_character_in_a_document_is_a_mistake() -> None:
    """A lone surrogate in a sweep, as a damaged run.json may have it, is named in place of an encoding's exception."""
    document = tomllib.loads(JOB)
    document["model"][0]["sweep"] = {"stop": ["\ud800" * 50]}
    with pytest.raises(JobError, match="half a character"):
        from_document(document)


def test_any_job_is_loaded_or_refused(folder: Path) -> None:
    """Whatever stands in a job file or in run.json, the mistakes are named (promise: exit 2; issue 13, part 8)."""
    check(folder, 20261127, 150)


@pytest.mark.long
def test_any_job_is_loaded_or_refused_long(folder: Path) -> None:
    """As the short one, with many more jobs and a seed of its own each time."""
    check(folder, time.time_ns(), 10_000)
