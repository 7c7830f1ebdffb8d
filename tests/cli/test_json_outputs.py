"""Each command with `--json`: what it writes is JSON, with the number of its form, and docs/agents.md lists it."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest

from batch.cli.console import discard
from batch.cli.display import JsonEvents
from batch.cli.group import COMMANDS
from batch.cli.schema import output_schemas
from batch.events import Notice
from tests.support.evaluation import JudgedJob, judging

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
RUN = "runs/test"
# One call of each; those of ELSEWHERE need more than a folder.
CALLS = {
    "plan": ("plan", "test.toml"),
    "providers": ("providers",),
    "models": ("models", "test.toml"),
    "try": ("try", "test.toml"),
    "accept": ("accept", RUN),
    "status": ("status", RUN),
    "runs": ("runs",),
    "tail": ("tail", RUN, "-n", "3"),
    "show": ("show", RUN, "r2"),
    "verify": ("verify", RUN),
    "prune": ("prune", RUN),
    "score": ("score", RUN, "--job", "test.toml"),
    "compare": ("compare", RUN, "--job", "test.toml"),
    "history": ("history", RUN, "--job", "test.toml"),
    "calibrate": ("calibrate", RUN, "--job", "test.toml", "--rows", "2"),
    "export": ("export", RUN, "--format", "csv", "-o", "csv"),
    "report": ("report", RUN, "--job", "test.toml"),
    "init": ("init", "rows.jsonl", "-o", "first.toml"),
    "cancel": ("cancel", RUN),
    "run": ("run", "test.toml"),
    "resume": ("resume", RUN),
}
# tests/integration/test_steering.py reads its JSON of a live run.
ELSEWHERE = {"ctl"}
LINES = {"run", "resume", "tail", "cancel"}


def commands_with_json() -> set[str]:
    """The commands that take `--json`."""
    found = set()
    for _, name, module, _ in COMMANDS:
        command: click.Command = getattr(importlib.import_module(f"batch.cli.{module}"), f"{name}_command")
        if any("--json" in parameter.opts for parameter in command.params):
            found.add(name)
    return found


def test_each_schema_is_one_and_is_printed(judged: JudgedJob) -> None:
    """`promptmill schema COMMAND` prints the schema of each `--json`; it refuses documents of another form, and other names are refused."""
    schemas = output_schemas()
    assert set(schemas) == commands_with_json()
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        printed = json.loads(judged.call("schema", name).stdout)
        assert printed.pop("$schema").endswith("2020-12/schema")
        assert printed == schema
        assert not jsonschema.Draft202012Validator(schema).is_valid({"format": 2})
    done = judged.call("schema", "verfiy")
    assert done.exit_code == 2
    assert "choose from accept, calibrate" in done.stderr


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedJob]:
    """A run of two models that a third one judged."""
    with judging(lambda model, question: f"{model} says {question}", lambda _: "It is so.\nRating: 4") as endpoint:
        job = JudgedJob(tmp_path_factory.mktemp("judged"), endpoint, "", rows=5)
        job.run()
        assert job.score().exit_code == 0
        yield job


def test_every_command_with_json_is_checked() -> None:
    """A command that gets `--json` is called here, and listed for programs with its `format`."""
    names = commands_with_json()
    assert names == {*CALLS, *ELSEWHERE}
    listed = dict(re.findall(r"^\| `promptmill (\w+) .*--json` \| (\d+)\b", PAGE.read_text(), re.MULTILINE))
    assert set(listed) == names
    assert set(listed.values()) == {"1"}


@pytest.mark.parametrize("name", CALLS)
def test_json_has_the_number_of_its_form(judged: JudgedJob, name: str) -> None:
    """Stdout is one JSON object, or one a line, and nothing else; `format` is its first key; the docs name its other keys truly."""
    done = judged.call(*CALLS[name], "--json")
    assert done.exit_code == 0, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()] if name in LINES else [json.loads(done.stdout)]
    assert documents
    for document in documents:
        assert next(iter(document)) == "format"
        assert document["format"] == 1
        jsonschema.validate(document, output_schemas()[name])
    (line,) = re.findall(rf"^\| `promptmill {name} .*$", PAGE.read_text(), re.MULTILINE)
    named = re.findall(r"`(\w+)`", line.rpartition("|")[0].rpartition("|")[2])
    assert named
    every = {key for document in documents for key in document}
    assert not set(named) - every, sorted(every)


@pytest.mark.parametrize("form", ["chat", "openai-batch-input"])
def test_json_of_other_exports(judged: JudgedJob, form: str) -> None:
    """What is written for training and for a Batch API comes as JSON too: the paths, which are there, and the counts."""
    source = RUN if form == "chat" else "test.toml"
    done = judged.call("export", source, "--format", form, "-o", f"{form}-files", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["paths"]
    assert all(Path(path).exists() or (judged.folder.path / path).exists() for path in document["paths"])
    assert document["lines" if form == "chat" else "requests"] == 10


def test_llms_txt_names_pages_that_are_there() -> None:
    """docs/llms.txt begins with a title and a summary, as llmstxt.org asks, and each of its links leads to a page."""
    text = (PAGE.parent / "llms.txt").read_text()
    assert re.match(r"# promptmill\n\n> \S", text)
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): ", text, re.MULTILINE)
    assert "agents.md" in links
    for link in links:
        assert (PAGE.parent / link).is_file(), link


def test_a_run_goes_on_when_the_reader_of_its_events_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run --json | head -1` closes the pipe after a line: the next event is dropped, and the run does not end by it."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        JsonEvents().notify(Notice("one"))
        discard(pipe)
