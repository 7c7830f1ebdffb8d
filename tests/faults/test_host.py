"""What the machine under the run does to it: proxies, open files, a process that stands still. Faults 30, 32 and 34."""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, check_accounts, rows_sent
from tests.support.processes import unused_port
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import after, for_rows, wait_for


def test_a_proxy_of_the_environment_is_not_used_unasked(tmp_path: Path) -> None:
    """Fault 30: HTTP_PROXY is set, and nobody asked for proxies: the requests go straight, and that is said."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        ended = folder.run(environ={"HTTP_PROXY": f"http://127.0.0.1:{unused_port()}"})
        assert rows_sent(endpoint) == 10
    assert ended.returncode == 0, ended.stderr
    assert "promptmill: HTTP_PROXY not used: requests go straight to the endpoint (run.trust_env = true uses proxies)" in ended.stderr


def test_this_machine_is_never_asked_by_a_proxy(tmp_path: Path) -> None:
    """Fault 30: with run.trust_env a proxy is used, but not for an endpoint on localhost, and that is said."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, trust_env=True)
        ended = folder.run(environ={"http_proxy": f"http://127.0.0.1:{unused_port()}", "no_proxy": ""})
    assert ended.returncode == 0, ended.stderr
    assert "requests to house (127.0.0.1) go past the proxy: this machine always does, others by NO_PROXY" in ended.stderr


def test_a_proxy_that_is_asked_for_is_used(tmp_path: Path) -> None:
    """Fault 30: with run.trust_env requests to another host go by the proxy, which gets them with their whole URL."""
    with ScriptedEndpoint() as proxy:
        folder = JobFolder(tmp_path, "http://model.test/v1", trust_env=True)
        ended = folder.run(environ={"http_proxy": proxy.origin, "no_proxy": ""})
        assert {received.path for received in proxy.requests if received.body} == {"http://model.test/v1/chat/completions"}
    assert ended.returncode == 0, ended.stderr
    assert "proxy" not in ended.stderr


@pytest.mark.parametrize(("soft", "hard", "lowered"), [(256, 256, True), (256, 4096, False)])
def test_few_open_files(tmp_path: Path, soft: int, hard: int, lowered: bool) -> None:
    """Fault 32: `ulimit -n 256` with concurrency 1000: the soft limit is raised, or the concurrency lowered and that said; all is done."""
    with ScriptedEndpoint(for_rows(lambda received: [Sleep(0.05), *answer(received)])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1500, concurrency=1000)
        ended = folder.run(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
        assert ended.returncode == 0, ended.stderr
        assert ("concurrency 1000 → 192: only 256 files may be open here (ulimit -n)" in ended.stderr) == lowered
        assert endpoint.max_concurrent <= (192 if lowered else 1000)
    assert len(folder.completions()) == 1500
    assert "retr" not in ended.stderr.replace("no retries", "")
    check_accounts(folder)


def stand_still(process, seconds: float) -> None:
    """Stop the process for a while, as a suspended laptop or a paused machine does."""
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)


def test_a_process_that_stood_still_takes_no_answer_for_late(tmp_path: Path) -> None:
    """Fault 34: held for more than twice its deadlines while answers are on their way: no row has a time-out, what is lost by the hold is
    sent again without being charged, and the hold is said.
    """  # noqa: D205 - one sentence
    # Deadlines that spare what a busy machine may need for an answer.
    deadlines = dict.fromkeys(("first_byte_timeout_s", "idle_timeout_s", "attempt_timeout_s", "outage_timeout_s"), 2.0)
    with ScriptedEndpoint(after(0.2)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=60, concurrency=8, attempts=1, **deadlines)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= 20, process)
        stand_still(process, 4.5)
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert max(endpoint.counts().values()) <= 2
    assert rows_sent(endpoint) <= 60 + 8
    assert re.search(r"this process stood still for \d+ s: it was suspended, or the machine is overloaded", err), err
    check_accounts(folder)


def test_a_process_that_stood_still_in_an_outage_asks_again(tmp_path: Path) -> None:
    """Fault 34: the time in which the process stood still is no outage: an endpoint that is back some time after is found serving."""
    broken = True

    def handler(received: Received) -> Iterable[Action]:
        return [error(500, "boom")] if broken else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=60, concurrency=8, outage_timeout_s=4)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= 11, process)
        stand_still(process, 4.5)
        time.sleep(0.7)
        broken = False
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert "house serves again" in err
    assert len(folder.completions()) == 60
