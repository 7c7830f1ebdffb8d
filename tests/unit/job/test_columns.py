"""Columns that a job names and its input lacks: a mistake with its line, before anything is sent (fault 70)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import JobError
from batch.job import check_columns
from batch.job.columns import ROWS_READ
from batch.prompts.columns import columns_of
from tests.support.jobs import GOOD, loaded

ROWS = [{"question": "a", "review": "b", "score": 1, "chat": []}]


def found(folder: Path, text: str, rows: list[dict[str, object]] | None = None) -> list[tuple[str, str, str, str | None]]:
    """The mistakes of a job over `rows`: place, key, message, hint."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or ROWS))
    try:
        check_columns(loaded(folder, text))
    except JobError as error:
        return [(Path(each.place).name, each.key, each.message, each.hint) for each in error.problems]
    return []


@pytest.mark.parametrize(
    ("old", "new", "key", "column", "near"),
    [
        ("{{ question }}", "{{ qestion }}", "prompt.user", "qestion", "question"),
        ("{{ question }}", "{{ question }} {{ reveiw | upper }}", "prompt.user", "reveiw", "review"),
        ('user = "{{ question }}"', 'messages = "chats"', "prompt.messages", "chats", "chat"),
        ('user = "{{ question }}"', 'messages = [{role = "user", content = "{{ reviev }}"}]', "prompt.messages", "reviev", "review"),
        ('user = "{{ question }}"', 'user = "{{ question }}"\ntools = "tols"', "prompt.tools", "tols", None),
    ],
)
def test_an_unknown_column_of_a_prompt(tmp_path: Path, old: str, new: str, key: str, column: str, near: str | None) -> None:
    """In templates, stored chats and tools, with the line and the column that was meant."""
    ((place, at, message, hint),) = found(tmp_path, GOOD.replace(old, new))
    assert place.startswith("job.toml:")
    assert (at, message) == (key, f"the input has no column '{column}'")
    assert hint == (f"did you mean {near}?" if near else "it has question, review, score, chat")


def test_an_unknown_column_of_outputs_and_of_a_model(tmp_path: Path) -> None:
    """Carried-over columns by their place in the list; a model's own prompt by its own line; all at once."""
    text = GOOD + '[model.prompt]\nuser = "{{ revew }}"\n[output]\ncolumns = ["score", "scoer"]\n'
    assert [(each[1], each[3]) for each in found(tmp_path, text)] == [
        ("model[0].prompt.user", "did you mean review?"),
        ("output.columns[1]", "did you mean score?"),
    ]


def test_columns_that_are_there_or_may_be_missing(tmp_path: Path) -> None:
    """A default, a test, a branch and a name of the template's own are no mistakes; nor are columns that only a later row has."""
    for template in (
        "{{ question }}",
        "{{ note | default('none') }} {{ question }}",
        "{% if note is defined %}{{ note }}{% endif %}{{ question }}",
        "{% if score > 2 %}{{ note }}{% endif %}",
        "{% for part in question %}{{ part }}{{ loop.index }}{% endfor %}",
        "{% set x = question %}{{ x }} {{ row['odd name'] }} {{ range(3) }}",
    ):
        assert found(tmp_path, GOOD.replace("{{ question }}", template)) == [], template
    assert found(tmp_path, GOOD.replace("question", "late"), [*ROWS, {"late": 1}]) == []


def test_a_column_far_down(tmp_path: Path) -> None:
    """A column that is only carried over may begin beyond the rows that are read; one that the prompt needs may not."""
    rows: list[dict[str, object]] = [{"question": "a"}] * ROWS_READ + [{"question": "a", "late": 1}]
    assert found(tmp_path, GOOD + '[output]\ncolumns = ["late"]\n', rows) == []
    assert len(found(tmp_path, GOOD.replace("question", "late"), rows)) == 1


def test_a_carried_column_of_no_row_is_told_of_a_long_input_too(tmp_path: Path) -> None:
    """Beyond the rows that are read nothing is sure: a warning says where it is named, and what columns there are."""
    (tmp_path / "rows.jsonl").write_text('{"question": "a"}\n' * (ROWS_READ + 1))
    job = loaded(tmp_path, GOOD + '[output]\ncolumns = ["question", "zzz"]\n')
    (warning,) = check_columns(job)
    place, _, text = warning.partition(": ")
    assert re.search(r"job\.toml:\d+$", place)
    assert text == "none of the first 1,000 rows has a column 'zzz', which output.columns[1] names; it has question"
    assert check_columns(loaded(tmp_path, GOOD + '[output]\ncolumns = ["question"]\n')) == []


def test_every_format_is_checked(tmp_path: Path) -> None:
    """A Parquet file as lines of JSON; rows that cannot be read are passed over."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    with pytest.raises(JobError, match="did you mean question"):
        check_columns(loaded(tmp_path, GOOD.replace("rows.jsonl", "rows.parquet").replace("{{ question }}", "{{ qestion }}")))
    (tmp_path / "rows.jsonl").write_text("nothing\n")
    check_columns(loaded(tmp_path, GOOD))


def test_what_a_template_needs() -> None:
    """Only names that every rendering reads."""
    assert columns_of("{{ a }} {{ b.c[d] }} {{ e or f }} {% if g %}{{ h }}{% endif %}{{ dict(i=1) }}").required == {"a", "b", "d"}
