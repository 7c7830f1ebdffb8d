"""Small jobs on disk, and the command run on them as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from batch.cli.group import promptmill
from tests.support.scripted import PATIENCE_S
from tests.support.workers import unmeasured


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
