"""What `import batch` shows, in which words it speaks, and how it looks in a notebook."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import typing

import pytest

import batch
from batch.app.python_html import MOST_ROWS, html_table
from batch.app.python_inspect import RunVerification
from batch.app.python_words import PythonNotices, python_words, speaking_python
from batch.errors import ChangedError, JobError, Problem
from batch.events import Event, Notice, RunEnded, VariantStopped
from batch.job import json_schema
from batch.results.verification import VariantCheck
from tests.documents import ROOT


def test_all_names_are_shown_and_load() -> None:
    """`dir(batch)` has every public name and nothing that does not load; each has a docstring, and its hints resolve."""
    assert set(batch.__all__) <= set(dir(batch))
    for name in dir(batch):
        found = getattr(batch, name)
        if callable(found) and not name.startswith("_"):
            assert inspect.getdoc(found), name
    for name in ("run", "arun", "plan", "status", "verify", "export"):
        assert "return" in getattr(batch, name).__annotations__, name
        assert inspect.signature(getattr(batch, name)).parameters, name
    assert list(inspect.signature(batch.run).parameters)[:3] == ["job", "rows", "overrides"]
    assert set(typing.get_type_hints(batch.load_job)) == {"job", "overrides", "return"}


def test_the_distributions_name_is_the_same_package() -> None:
    """`import promptmill` gives the very functions of `batch`, lists the same names, and loads nothing that `import batch` does not."""
    import promptmill

    assert all(getattr(promptmill, name) is getattr(batch, name) for name in batch.__all__)
    assert dir(promptmill) == dir(batch)
    with pytest.raises(AttributeError, match="nothing"):
        _ = promptmill.nothing  # type: ignore[attr-defined]
    code = (
        "import sys, batch; before = set(sys.modules); import promptmill;"
        " assert set(sys.modules) - before == {'promptmill'}; assert promptmill.__version__ == batch.__version__"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_types_of_a_job_are_those_of_its_schema() -> None:
    """Each table and key of the job file's schema stands in JobDict; a prompt may be a function."""
    hints = typing.get_type_hints(batch.JobDict)
    assert set(hints) == set(json_schema()["properties"])
    marked = typing.get_type_hints(batch.JobDict, include_extras=True)
    assert {name for name, hint in marked.items() if typing.get_origin(hint) is typing.Required} == set(json_schema()["required"])
    run = typing.get_type_hints(hints["run"])
    assert set(run) == set(json_schema()["properties"]["run"]["properties"])
    assert run["concurrency"] == int | typing.Literal["auto"]
    job: batch.JobDict = {"input": {"path": "a.jsonl"}, "model": [{"id": "house/m"}], "prompt": str}
    assert callable(job["prompt"])


def test_messages_name_keywords() -> None:
    """What the command line calls an option is a keyword in Python; commands that are quoted whole stay commands."""
    assert python_words("--changed rerun sends, --changed keep keeps (or --fresh)") == (
        'changed="rerun" sends, changed="keep" keeps (or fresh=True)'
    )
    assert python_words("give --set run.race=false; then") == 'give overrides=["run.race=false"]; then'
    assert python_words("give `promptmill verify --salvage`") == "give `promptmill verify --salvage`"
    assert python_words("promptmill score runs/a --job JOB.toml") == "promptmill score runs/a --job JOB.toml"
    assert python_words("rows that --retry-failed sends") == "rows that retry_failed=True sends"


def test_an_error_keeps_its_class_and_what_it_knows() -> None:
    """Only the text of an error changes: its class, and the problems of a JobError, are as raised."""
    with pytest.raises(ChangedError, match='changed="rerun"'), speaking_python():
        raise ChangedError("--changed rerun sends them")
    problem = Problem("--set a=1", "a", "is unknown")
    with pytest.raises(JobError, match=re.escape('overrides=["a=1"]: a: is unknown')) as caught, speaking_python():
        raise JobError([problem])
    assert caught.value.problems == (problem,)
    with pytest.raises(KeyError, match="--fresh"), speaking_python():
        raise KeyError("--fresh")


def test_tables_are_escaped_and_bounded() -> None:
    """Names from files cannot put markup into a notebook, and a long table is cut with its rest counted."""
    text = html_table("<b>", ["<i>"], [["<script>alert(1)</script>"], *([number] for number in range(MOST_ROWS + 6))])
    assert not re.search("<(b|i|script)>", text)
    assert text.count("<tr>") == MOST_ROWS + 1
    assert "and 7 more" in text


def test_a_verification_says_its_verdict() -> None:
    """The repr is one short line that names the first fault, and the table has the counts."""
    sound = RunVerification((VariantCheck("a<b", 5, 4, 0, 1),), (), ())
    assert repr(sound) == "<RunVerification: sound so far, 1 without an outcome>"
    assert "a&lt;b" in sound._repr_html_()
    assert repr(RunVerification((), ("j.jsonl: damaged at byte 3",), ("x",))) == (
        "<RunVerification: not sound: j.jsonl: damaged at byte 3, and 1 more>"
    )
    assert repr(RunVerification((VariantCheck("a", 2, 2, 0, 0, 1),), (), ())) == (
        "<RunVerification: not sound: 1 rows are of a task that another row has>"
    )


def test_notices_of_a_run_are_in_python_words() -> None:
    """What a run says meanwhile names keywords too; the class of a notice stays, and other events pass as they are."""
    seen: list[Event] = []

    class Seen:
        def notify(self, event: Event) -> None:
            seen.append(event)

    notices, ended = PythonNotices(Seen()), RunEnded({}, None)
    for event in (Notice("give --fresh"), VariantStopped("or --retry-failed", "m", "gone"), ended):
        notices.notify(event)
    assert seen == [Notice("give fresh=True"), VariantStopped("or retry_failed=True", "m", "gone"), ended]
    assert seen[2] is ended
