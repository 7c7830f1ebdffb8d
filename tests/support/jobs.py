"""Small jobs on disk, the command run on them, one session of a run in this process, and what must hold after it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from batch import app
from batch.cli.group import promptmill
from batch.errors import JobError, Problem
from batch.events import Event, Notice
from batch.job import LoadedJob, load
from batch.journal.lines import decode
from batch.tally import Tally
from tests.support.processes import unmeasured
from tests.support.scripted import PATIENCE_S, ScriptedEndpoint


class JobFolder:
    """A folder with rows and a job file that sends them to `url`; `run` is the command in a process of its own."""

    def __init__(self, path: Path, url: str, *, rows: int | Iterable[Mapping[str, Any]] = 10, **settings: Any) -> None:
        self.path = path
        self.url = url
        self.directory = path / "runs" / "test"
        items = [{"id": f"r{number}", "text": f"question {number}"} for number in range(rows)] if isinstance(rows, int) else list(rows)
        self.rows = items
        (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items))
        self.job = path / "test.toml"
        self.write(**settings)

    def write(
        self, *, user: str = "{{ text }}", model: str = "house/test-model", provider: str = "", parameters: str = "", **run: Any
    ) -> None:
        """Write the job file; `run` are the settings of [run], `provider` and `parameters` more lines of [provider.house] and [[model]]."""
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in run.items())
        self.job.write_text(
            f'[input]\npath = "rows.jsonl"\nid = "id"\n\n[prompt]\nuser = {json.dumps(user)}\n\n'
            f'[provider.house]\nbase_url = "{self.url}"\n{provider}\n\n[[model]]\nid = "{model}"\ntemperature = 0\n{parameters}\n\n'
            f'[run]\n{lines}\n\n[output]\ndir = "runs/test"\ncolumns = ["text"]\n'
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs promptmill with these arguments."""
        return [sys.executable, "-m", "batch", *arguments]

    def start(
        self, *arguments: str, environ: Mapping[str, str] | None = None, measured: bool = True, **options: Any
    ) -> subprocess.Popen[str]:
        """Start `promptmill ARGUMENTS` (default: run the job) in this folder; what will be killed need not be `measured`."""
        return subprocess.Popen(
            self.command(*(arguments or ("run", self.job.name))),
            cwd=self.path,
            env={**(os.environ if measured else unmeasured()), "PYTHONUNBUFFERED": "1", **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: str, timeout: float = PATIENCE_S, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `promptmill ARGUMENTS` (default: run the job) in this folder to its end."""
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"did not end in {timeout} s\n{out}\n{err}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def call(self, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """As `run`, but in this process: a new one takes longer than what most commands do."""
        words = arguments or ("run", self.job.name)
        ended = called(self, *words, env=environ)
        return subprocess.CompletedProcess(words, ended.exit_code, ended.stdout, ended.stderr)

    def completions(self) -> list[dict[str, Any]]:
        """The lines of completions.jsonl."""
        return lines_of(self.directory / "completions.jsonl")

    def errors(self) -> list[dict[str, Any]]:
        """The lines of errors.jsonl."""
        return lines_of(self.directory / "errors.jsonl")

    def journal(self) -> list[dict[str, Any]]:
        """All records of all journals, in the order in which they were written."""
        return [record for path in sorted(self.directory.glob("journal/*/*.jsonl")) for record in lines_of(path)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of output lines, in their order."""
    return [str(line["id"]) for line in lines]


def called(folder: JobFolder, *arguments: str, **options: Any) -> Result:
    """`promptmill ARGUMENTS` in a folder, called in this process: a new one takes longer than what it does."""
    with chdir(folder.path):
        return CliRunner().invoke(promptmill, arguments, catch_exceptions=False, **options)


@dataclasses.dataclass
class Session:
    """How a session ended: the report, and the notices in their order."""

    report: app.RunReport
    notices: list[str] = dataclasses.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return self.report.exit_code

    @property
    def reason(self) -> str:
        """Why it ended early; empty when it did not."""
        return self.report.reason or ""

    @property
    def tally(self) -> Tally:
        """The counts of the only variant."""
        (tally,) = self.report.tallies.values()
        return tally


class Notices:
    """Keeps the texts of a run's notices in `seen`."""

    def __init__(self, seen: list[str] | None = None) -> None:
        self.seen = [] if seen is None else seen

    def notify(self, event: Event) -> None:
        """A run's event."""
        if isinstance(event, Notice):
            self.seen.append(event.text)


def run_here(folder: JobFolder, *overrides: str, retry_failed: bool = False, notices: list[str] | None = None) -> Session:
    """Run the folder's job in this process, and check what must hold after every session. What is said is in `notices` at once."""
    listener = Notices(notices)
    loaded = load(str(folder.job), [f"output.dir={folder.directory}", *overrides], {})
    report = app.run(loaded, app.RunOptions(retry_failed=retry_failed), [listener])
    check_accounts(folder, report)
    return Session(report, listener.seen)


def check_accounts(folder: JobFolder, report: app.RunReport | None = None) -> None:
    """Promises 1 and 3: every record of the journals is whole, no task has two, and the counts of the session and of `status` add up."""
    records = whole_records(folder.directory)
    assert len({(record.ordinal, record.repeat) for record in records if record.ok}) == sum(record.ok for record in records)
    for variant in app.status(folder.directory).variants:
        assert variant.total == len(folder.rows)
        assert variant.total == variant.ok + variant.failed + (variant.not_attempted or 0)
        if report is not None:
            tally = report.tallies[variant.name]
            assert tally.total == len(folder.rows)
            assert (variant.ok, variant.failed) == (tally.kept_ok + tally.ok, tally.kept_failed + tally.failed)
            assert variant.not_attempted == tally.not_attempted
            assert tally.in_flight == 0
            assert tally.durable == tally.ok + tally.failed


def whole_records(directory: Path):
    """The decoded records of all journals; raises when one is torn or damaged."""
    return [decode(line) for path in sorted(directory.glob("journal/*/*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]


def rows_sent(endpoint: ScriptedEndpoint) -> int:
    """How many requests with a row came, preflights not counted."""
    return sum(1 for received in endpoint.requests if received.body)


def status_json(folder: JobFolder) -> list[dict[str, object]]:
    """The variants as `promptmill status --json` tells them."""
    shown = folder.call("status", str(folder.directory), "--json")
    assert shown.returncode == 0, shown.stderr
    document: dict[str, list[dict[str, object]]] = orjson.loads(shown.stdout)
    return document["variants"]


def texts_of(paths: Sequence[Path]) -> bytes:
    """All bytes of these files."""
    return b"\n".join(path.read_bytes() for path in paths)


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
