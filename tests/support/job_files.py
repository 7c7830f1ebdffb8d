"""Job files for the tests of job/: a small valid one, and what is wrong with a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from batch.errors import JobError, Problem
from batch.job import LoadedJob, load

GOOD = """\
[input]
path = "rows.jsonl"

[prompt]
user = "{{ question }}"

[[model]]
id = "openai/gpt-5-mini"
"""


def write(folder: Path, text: str, name: str = "job.toml") -> Path:
    """The job file `name` with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> LoadedJob:
    """The job that `text` makes."""
    return load(write(folder, text), overrides, environ or {})


def problems(folder: Path, text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """What is wrong with `text`; places are relative to `folder`."""
    with pytest.raises(JobError) as caught:
        loaded(folder, text, *overrides, environ=environ)
    return tuple(Problem(found.place.replace(f"{folder}/", ""), found.key, found.message, found.hint) for found in caught.value.problems)


def problem(folder: Path, text: str, *overrides: str, environ: Mapping[str, str] | None = None) -> Problem:
    """The one thing that is wrong with `text`."""
    found = problems(folder, text, *overrides, environ=environ)
    assert len(found) == 1, found
    return found[0]
