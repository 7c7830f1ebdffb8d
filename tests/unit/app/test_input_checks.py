"""Mistakes in a job's columns, found before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.app.input_checks import input_notices
from batch.errors import JobError
from batch.job import LoadedJob, check_columns, load
from batch.readers import Dataset

ROWS: list[dict[str, Any]] = [{"id": n, "text": f"t{n}", "review": None} for n in range(30)]


def loaded_job(folder: Path, prompt: str, *, output: str = "", where: str = "", suffix: str = "jsonl") -> LoadedJob:
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
    return load(job)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("prompt", "output", "says"),
    [
        ('user = "{{ reveiw }}"', "", "prompt.user: the input has no column 'reveiw' (did you mean review?)"),
        ('messages = "chat"', "", "prompt.messages: the input has no column 'chat' (it has id, text, review)"),
        ('user = "{{ text }}"', 'columns = ["reviw"]', "output.columns[0]: the input has no column 'reviw' (did you mean review?)"),
    ],
)
def test_a_wrong_column_is_named_with_its_line(tmp_path: Path, suffix: str, prompt: str, output: str, says: str) -> None:
    """A column that no row has is refused before the first request, with the one that was probably meant (fault 70)."""
    loaded = loaded_job(tmp_path, prompt, output=output, suffix=suffix)
    with pytest.raises(JobError) as refused:
        check_columns(loaded)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "prompt",
    [
        'user = "{{ text }} in {id} braces"',
        'user = "{% if note is defined %}{{ note }}{% endif %}{{ text }}"',
        """user = "{{ note | default('-') }}{{ text }}" """,
        """user = "{% if kind is defined %}{{ extra }}{% endif %}{{ text }}" """,
        """user = "{{ row['text'] }}" """,
        'user = "{{ row | tojson }}"',
    ],
)
def test_optional_columns_pass(tmp_path: Path, prompt: str) -> None:
    """Optional columns, and single braces beside double ones, are allowed (fault 70)."""
    check_columns(loaded_job(tmp_path, prompt))


def test_a_selection_of_nothing_is_noticed(tmp_path: Path) -> None:
    """No row to send is no silent success (fault 70)."""
    job = loaded_job(tmp_path, 'user = "{{ text }}"', where="where = 'id == 77'").job
    dataset = Dataset(job.input)
    assert dataset.count() == 0
    assert input_notices(job, dataset, 0) == ["nothing to send: for no row [input] where holds"]
    assert input_notices(job, dataset, 1) == []
