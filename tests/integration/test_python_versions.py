"""`batch` in one process, several times and ways, on each Python that is promised: that of the tests, and, long, the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.support.scripted import ScriptedEndpoint

SCRIPT = ROOT / "tests" / "support" / "python_session.py"
OTHERS = [
    path for path in sorted(Path.home().glob(".pyenv/versions/3.1[23].*/bin/python")) if path.resolve() != Path(sys.executable).resolve()
]


def session(python: Path | str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a fresh interpreter, against a server of this process."""
    with ScriptedEndpoint() as endpoint:
        command = [str(python), "-X", "dev", "-W", "error", str(SCRIPT), endpoint.url, str(folder)]
        return subprocess.run(command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True)


def test_one_process_runs_many_jobs_in_many_ways(tmp_path: Path) -> None:
    """Twice, in three threads at once, in an event loop, streamed, from a thread with a loop: all rows are done, without a warning."""
    ended = session(sys.executable, tmp_path, PYTHONPATH=str(ROOT))
    assert (ended.stdout, ended.returncode) == ("done\n", 0), ended.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("python", OTHERS, ids=[path.parents[1].name for path in OTHERS])
def test_other_pythons_do_the_same(python: Path, tmp_path: Path) -> None:
    """The package, installed in a fresh environment of Python 3.12 and 3.13, does all of that."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_", "COVERAGE_"))}
    for command in (
        [str(python), "-m", "venv", "venv"],
        ["venv/bin/pip", "install", "-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"), str(ROOT)],
    ):
        made = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    ended = session(tmp_path / "venv" / "bin" / "python", tmp_path, PYTHONPATH="")
    assert (ended.stdout, ended.returncode) == ("done\n", 0), ended.stderr
