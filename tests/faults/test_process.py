"""What the process under a run meets: signals at odd moments, missing descriptors, exceptions that nobody expected. Faults 61 and 75."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, rows_sent
from tests.support.scripted import HANG, ScriptedEndpoint
from tests.support.scripts import for_rows, wait_for, wait_for_line, wait_until

# The command, with one function of promptmill replaced by one that raises what no code expects, or that waits for a signal.
_BROKEN = """
import importlib, sys
from batch.cli import main
{replacement}
module = importlib.import_module("{module}")
module.{name} = replacement
main(sys.argv[1:])
"""


def broken(folder: JobFolder, module: str, name: str, replacement: str) -> subprocess.Popen[str]:
    """Run the folder's job with a function replaced."""
    code = _BROKEN.format(module=module, name=name, replacement=replacement)
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", folder.job.name], cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [("batch.executors.live.executor", "costs_of"), ("batch.app.runner", "write_outputs")],
    ids=["before sending", "while writing outputs"],
)
def test_an_unexpected_exception_leaves_a_sound_journal_and_a_report(tmp_path: Path, module: str, name: str) -> None:
    """Fault 61: exit 70 names a report file that holds no row data; the journal is sound, and the same command continues."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=[{"id": "r1", "text": "secret row text"}])
        process = broken(folder, module, name, "def replacement(*a, **k): raise RuntimeError('about the secret row text')")
        _, err = process.communicate()
        assert process.returncode == 70, err
        assert "an unexpected RuntimeError ended the run" in err
        assert "Traceback" not in err
        (report,) = folder.directory.glob("bug-report-*.txt")
        assert str(report) in err
        text = report.read_text()
        assert "builtins.RuntimeError" in text
        assert "batch/app/runner.py" in text
        assert "secret row text" not in text
        assert str(tmp_path) not in text
        assert report.stat().st_mode & 0o777 == 0o600
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
    assert len(folder.completions()) == 1


_ONE_ROW_BREAKS = """
from batch.prompts.requests import encoded as real
def replacement(row, value):
    if row.id == "r1": raise RuntimeError("about the secret row text")
    return real(row, value)
"""


def test_an_unexpected_exception_over_a_row_is_that_rows_failure(tmp_path: Path) -> None:
    """Fault 61: a row whose request cannot be made fails by the exception's class; all others run, and a report is named."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=[{"id": "r1", "text": "secret row text"}, {"id": "r2", "text": "fine"}])
        process = broken(folder, "batch.prompts.requests", "encoded", _ONE_ROW_BREAKS)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        (report,) = folder.directory.glob("bug-report-*.txt")
        assert report.name in err
        assert "secret row text" not in report.read_text() + err
    (error,) = folder.errors()
    assert (error["id"], error["error"]["code"]) == ("r1", "bad_row")
    assert "RuntimeError while its request was made: this is a bug in promptmill" in error["error"]["message"]
    assert [line["id"] for line in folder.completions()] == ["r2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    ("module", "name"),
    [("batch.app.prepare", "Dataset"), ("batch.app.runner", "write_outputs")],
    ids=["before sending", "while writing outputs"],
)
def test_a_signal_outside_the_session_is_an_interruption_too(tmp_path: Path, module: str, name: str, number: signal.Signals) -> None:
    """Faults 37 and 75: before anything is sent, and while outputs are written, a signal ends the command with 130 and no traceback."""
    waits = "def replacement(*a, **k):\n    print('waiting', flush=True)\n    import time; time.sleep(60)"
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        process = broken(folder, module, name, waits)
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert "Traceback" not in err
        ended = folder.call()
        assert ended.returncode == 0, ended.stderr
    assert len(folder.completions()) == 3


def test_a_run_under_nohup_ignores_the_closed_terminal(tmp_path: Path) -> None:
    """Fault 75: where SIGHUP is ignored, as under nohup, it stays ignored, before and while rows are sent."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3000, concurrency=2)
        process = folder.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for(lambda: len(endpoint.requests) > 10, process)
        process.send_signal(signal.SIGHUP)
        sent = len(endpoint.requests)
        wait_for(lambda: len(endpoint.requests) > sent + 100, process)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize(("number", "counted"), [(signal.SIGHUP, True), (signal.SIGTERM, False)], ids=["hangup", "term"])
def test_a_signal_after_the_session_does_not_end_the_process_by_itself(tmp_path: Path, number: signal.Signals, counted: bool) -> None:
    """Faults 69 and 75: between the session's end and the summary: a hangup is not heard, what was given up counts; others interrupt."""
    kills = f"def replacement(monitors):\n    import os\n    os.kill(os.getpid(), {int(number)})\n    [each.close() for each in monitors]\n"
    with ScriptedEndpoint(for_rows(lambda _: [HANG])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30, concurrency=4, grace_s=3600)
        process = broken(folder, "batch.executors.live.executor", "close_all", kills)
        wait_for(lambda: rows_sent(endpoint) >= 4, process)
        process.send_signal(signal.SIGHUP)
        wait_for_line("stopping", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert "Traceback" not in err
        status = json.loads(folder.call("status", "runs/test", "--json").stdout)
    assert status["abandoned"] == (4 if counted else 0)


def test_missing_standard_descriptors(tmp_path: Path) -> None:
    """Fault 75: with descriptors 0 to 2 closed a run does what it always does, and no file of the run takes their place."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *folder.command("run", folder.job.name)],
            cwd=folder.path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        wait_until(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert len(folder.completions()) == 5
    assert json.loads((folder.directory / "run.json").read_text())["name"] == "test"
