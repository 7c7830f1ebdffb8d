"""Servers of others, installed by package name in environments of their own outside the repository, and started on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.needs import NOT_INSTALLED

# A machine whose cores are shared by others takes minutes where one of its own takes seconds.
INSTALL_LIMIT_S = 1800
START_LIMIT_S = 900


def cache_home() -> Path:
    """The folder of all such environments; a second run of the tests finds them there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "promptmill-tests"


def python_program(name: str, *requirements: str, oldest: tuple[int, int] = (3, 11)) -> Path:
    """The program `name` of a Python package, in a virtual environment of its own; skips the test where it cannot be had.

    `oldest` is the oldest Python that the package runs on: where the tests run on an older one, another is looked for.
    """
    home = cache_home() / name
    python = str(home / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
    _install(home, " ".join(requirements), [[_python(oldest), "-m", "venv", str(home)], install])
    return home / "bin" / name


def node_script(name: str, requirement: str, script: str) -> list[str]:
    """The command of a script in an npm package, in a folder of its own; skips the test where it cannot be had."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(NOT_INSTALLED + ", ".join(missing))
    home = cache_home() / name
    _install(home, requirement, [["npm", "install", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund", requirement]])
    return ["node", str(home / "node_modules" / script)]


def _python(oldest: tuple[int, int]) -> str:
    """A Python that is not older than this; skips the test where there is none."""
    if sys.version_info >= oldest:
        return sys.executable
    names = [f"python{oldest[0]}.{minor}" for minor in range(oldest[1], oldest[1] + 4)]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for name in (*names, *[str(path) for each in names for path in sorted(pyenv.glob(f"*/bin/{each}"))]):
        # A name on the PATH may be a shim of a version that is not installed.
        if shutil.which(name) and subprocess.run([name, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return name
    pytest.skip(NOT_INSTALLED + " or ".join(names))


def _install(home: Path, requirement: str, commands: Sequence[Sequence[str]]) -> None:
    ready = home / ".ready"
    if ready.exists() and ready.read_text() == requirement:
        return
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{NOT_INSTALLED}{requirement}: {error}")
        if done.returncode != 0:
            pytest.skip(f"{NOT_INSTALLED}{requirement}: {done.stderr.strip()[-300:]}")
    ready.write_text(requirement)


@contextmanager
def serving(command: Sequence[str], ready_url: str, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; the block begins when `ready_url` gives a 200. Its output is in `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent, env={**os.environ, **(environ or {})})
        try:
            _wait_until_ready(process, ready_url, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            if httpx.get(url, timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, f"the server ended with {process.returncode}: {log.read_text()[-2000:]}"
        assert time.monotonic() < end, f"the server is not ready: {log.read_text()[-2000:]}"
        time.sleep(0.1)
