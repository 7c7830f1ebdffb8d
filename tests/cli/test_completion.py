"""Completion in the shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli.completion import SHELLS
from batch.cli.group import COMMANDS, promptmill
from batch.providers.presets import PRESETS


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of `words`, as a program of its own answers it."""
    line = " ".join(("promptmill", *words))
    environ = {**os.environ, "_PROMPTMILL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    result = subprocess.run(
        [sys.executable, "-m", "batch"], env=environ, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_script(shell: str) -> None:
    """Each shell gets a script that asks promptmill by the variable that it answers to."""
    result = CliRunner().invoke(promptmill, ["completion", shell])
    assert result.exit_code == 0
    assert f"_PROMPTMILL_COMPLETE={shell}_complete" in result.stdout


def test_other_shells_are_refused() -> None:
    """A shell that there is no script for is a usage error that names those that there are."""
    result = CliRunner().invoke(promptmill, ["completion", "csh"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(shell in result.stderr for shell in SHELLS)


def test_commands() -> None:
    """All commands are completed, from any beginning."""
    assert completed("''") == [f"plain,{name}" for _, name, _, _ in COMMANDS]
    assert completed("st") == ["plain,status"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["run", "--retry"], ["plain,--retry-failed"]),
        (["run", "job.toml", "--changed", "k"], ["plain,keep"]),
        (["run", "jo"], ["file,jo"]),
        (["status", "ru"], ["dir,ru"]),
        (["score", "ru"], ["file,ru"]),
        (["models", "o"], [f"plain,{name}" for name in PRESETS if name.startswith("o")]),
    ],
)
def test_what_stands_behind_a_command(words: list[str], offered: list[str]) -> None:
    """Options, their values, names of files and folders, and providers are completed."""
    assert completed(*words) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
def test_bash_takes_the_script(tmp_path: Path) -> None:
    """In a real bash the script completes `promptmill sta` to `promptmill status`."""
    program = tmp_path / "promptmill"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batch "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = (
        'eval "$(promptmill completion bash)" && COMP_WORDS=(promptmill sta) COMP_CWORD=1 &&'
        ' _promptmill_completion promptmill sta promptmill && echo "${COMPREPLY[@]}"'
    )
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["status"]
