"""Mistakes in a job's columns, found before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.app.input_checks import check_columns, input_notices
from batch.errors import InputError
from batch.job import load
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.settings import Job

ROWS: list[dict[str, Any]] = [{"id": n, "text": f"t{n}", "review": None} for n in range(30)]


def job_of(folder: Path, prompt: str, *, output: str = "", where: str = "", suffix: str = "jsonl") -> Job:
    """A job over 30 rows of id, text and review."""
    path = folder / f"rows.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    job = folder / "job.toml"
    job.write_text(
        f'[input]\npath = "{path.name}"\n{where}\n[prompt]\n{prompt}\n[provider.e]\nbase_url = "http://127.0.0.1:1/v1"\nauth = "none"\n'
        f'[[model]]\nid = "e/x"\n[output]\n{output}\n'
    )
    return load(job).job


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("prompt", "output", "says"),
    [
        ('user = "{{ reveiw }}"', "", r"\[prompt\] user: no row has a column 'reveiw'; did you mean 'review'"),
        ('user = "What is {text}?"', "", r"\[prompt\] user: {text} is sent as it stands; write {{ text }} for the column"),
        ('messages = "chat"', "", r"\[prompt\] messages: no row has a column 'chat'; there are: id, review, text"),
        ('user = "{{ text }}"\ntools = "tols"', "", r"\[prompt\] tools: no row has a column 'tols'"),
        (
            'messages = [{role = "user", content = [{type = "text", text = "{{ txt }}"}]}]',
            "",
            r"text: no row has a column 'txt'",
        ),
        ('user = "{{ text }}"', 'columns = ["reviw"]', r"\[output\] columns: no row has a column 'reviw'; did you mean 'review'"),
    ],
)
def test_what_is_surely_a_mistake_is_said_first(tmp_path: Path, suffix: str, prompt: str, output: str, says: str) -> None:
    """A column that no row has is found before the first request, with the one that was likely meant (fault 70)."""
    job = job_of(tmp_path, prompt, output=output, suffix=suffix)
    with pytest.raises(InputError, match=says):
        check_columns(job, Dataset(job.input, columns=needed_columns(job)))


@pytest.mark.parametrize(
    "prompt",
    [
        'user = "{{ text }} in {id} braces"',
        'user = "{% if note is defined %}{{ note }}{% endif %}{{ text }}"',
        """user = "{{ note | default('-') }}{{ text }}" """,
        """user = "{% if kind == 'a' %}{{ extra }}{% endif %}{{ text }}" """.replace("kind == 'a'", "kind is defined"),
        """user = "{{ row['text'] }}" """,
        'user = "{{ row | tojson }}"',
    ],
)
def test_what_may_be_meant_passes(tmp_path: Path, prompt: str) -> None:
    """Optional columns, and braces beside real ones, are no mistakes (fault 70)."""
    job = job_of(tmp_path, prompt)
    assert check_columns(job, Dataset(job.input, columns=needed_columns(job))) == []


def test_a_prompt_without_a_column_is_noticed(tmp_path: Path) -> None:
    """Each row would get the same request: possible, and said (fault 70)."""
    job = job_of(tmp_path, 'user = "Tell a joke"')
    assert check_columns(job, Dataset(job.input)) == ["[prompt] names no column: each row gets the same request"]


def test_a_selection_of_nothing_is_noticed(tmp_path: Path) -> None:
    """No row to send is no silent success (fault 70)."""
    job = job_of(tmp_path, 'user = "{{ text }}"', where="where = 'id == 77'")
    dataset = Dataset(job.input)
    assert dataset.count() == 0
    assert input_notices(job, dataset, 0) == ["nothing to send: for no row [input] where holds"]
    assert input_notices(job, dataset, 1) == []
