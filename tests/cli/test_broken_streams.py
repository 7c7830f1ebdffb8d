"""Streams that cannot be written, and interrupts in the first moments: the stated exit codes, never a traceback or a bug."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batch.cli.exits import ExitCode, code_of
from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint

FULL = "/dev/full"
SILENT_STDOUT = [("--help",), ("--version",), ("providers",), ("schema",), ("completion", "bash"), ("run", "--help")]


def run_with(words: tuple[str, ...], folder: Path, **full: bool) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose `stdout` or `stderr` is a file that cannot be written."""
    with Path(FULL).open("wb") as unwritable:
        streams = {name: unwritable if full.get(name) else subprocess.PIPE for name in ("stdout", "stderr")}
        return subprocess.run([sys.executable, "-m", "batch", *words], cwd=folder, **streams, check=False)


@pytest.mark.parametrize("words", SILENT_STDOUT, ids=" ".join)
def test_output_onto_a_full_disk_ends_with_5(words: tuple[str, ...], tmp_path: Path) -> None:
    """What was asked for could not be written: 5 as for any full disk, the reason on stderr, no traceback."""
    result = run_with(words, tmp_path, stdout=True)
    assert (result.returncode, b"No space left on device" in result.stderr) == (ExitCode.STOPPED, True), result.stderr
    assert b"Traceback" not in result.stderr
    assert b"bug" not in result.stderr


def test_a_run_s_figures_onto_a_full_disk(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """status, verify and export of a sound run end with 5 where their output cannot be written, for people and as JSON."""
    folder = JobFolder(tmp_path, endpoint.url)
    assert folder.call().returncode == 0
    for words in (("status", "runs/test"), ("status", "runs/test", "--json"), ("verify", "runs/test")):
        result = run_with(words, tmp_path, stdout=True)
        assert (result.returncode, b"No space left" in result.stderr) == (ExitCode.STOPPED, True), words


def test_a_stderr_that_cannot_be_written_changes_nothing(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Messages are for people: a run whose stderr is on a full disk does all rows and ends with its own code, and so does an error."""
    folder = JobFolder(tmp_path, endpoint.url)
    assert run_with(("run", "test.toml"), tmp_path, stderr=True).returncode == ExitCode.DONE
    assert len(folder.completions()) == 10
    assert run_with(("status", "runs/test"), tmp_path, stderr=True).returncode == ExitCode.DONE
    assert run_with(("run", "gone.toml"), tmp_path, stderr=True).returncode == ExitCode.UNUSABLE
    assert run_with(("providers", "nobody"), tmp_path, stderr=True).returncode == ExitCode.UNUSABLE


def test_a_job_without_end_is_a_bad_job(tmp_path: Path) -> None:
    """A device, a deep or an absurd file as the job, or behind `extends`: 2 and one line."""
    (tmp_path / "deep.toml").write_text("x = " + "[" * 20_000 + "]" * 20_000)
    (tmp_path / "digits.toml").write_text(f"x = {'9' * 5_000}")
    (tmp_path / "zero.toml").write_text('extends = "/dev/zero"')
    for name in ("deep.toml", "digits.toml", "zero.toml", "/dev/zero"):
        result = run_with(("run", name), tmp_path)
        assert result.returncode == ExitCode.UNUSABLE, name
        assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device", "runs/x"), ExitCode.STOPPED),
        (OSError(30, "Read-only file system", "runs/x"), ExitCode.STOPPED),
        (PermissionError(13, "Permission denied", "runs/x"), ExitCode.UNUSABLE),
    ],
)
def test_what_the_system_refuses_is_no_bug(error: OSError, code: ExitCode) -> None:
    """A full or failing disk ends with 5, a path that may not be used with 2 (fault 60)."""
    assert code_of(error) == code


# The process interrupts itself as it begins to import a module: the moment is the same on any machine.
SCRIPT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Interrupt())
from batch.cli import main
main({words!r})
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("batch.cli.group", ["--help"]),
        ("click", ["--help"]),
        ("batch.cli.exits", ["--help"]),
        ("batch.cli.status", ["status", "runs/x"]),
        ("batch.app", ["status", "runs/x"]),
        ("orjson", ["status", "runs/x"]),
        ("batch.job", ["run", "job.toml"]),
        ("pydantic", ["run", "job.toml"]),
    ],
)
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_while_loading_is_an_interrupt(module: str, words: list[str], number: str, tmp_path: Path) -> None:
    """Ctrl-C, and what a system sends to end a process, in the first moments, wherever they fall: 130 and no traceback (R13)."""
    script = SCRIPT.format(module=module, words=words, signal=number)
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, "Traceback" in result.stderr) == (ExitCode.INTERRUPTED, False), result.stderr
    assert "interrupted" in result.stderr or not result.stderr.strip()


def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    """A shell's background job ignores Ctrl-C from its start; the command leaves that so."""
    loading = SCRIPT.format(module="click", words=["--version"], signal="SIGINT")
    script = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{loading}"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
