"""Looking into a run from outside: tail, show, runs and status, on finished runs and on one at work."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_body, chat_reply, error, http
from tests.support.scripts import for_rows, until, wait_for_requests, wait_until

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def mixed(received: Received) -> Iterable[Action]:
    """Row 2 is refused, with words that would steer a terminal; row 3 fails once."""
    if received.prompt == "question 2":
        return [error(400, f"bad {ESCAPE} prompt", {"x-request-id": "req-2"})]
    return answer(received)


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[JobFolder]:
    """A run of six rows, one of which failed."""
    with ScriptedEndpoint(for_rows(mixed)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, concurrency=1)
        run_here(folder)
        yield folder


def test_tail_shows_the_last_outcomes(finished: JobFolder) -> None:
    """One line each, in the order in which they ended; failures alone where they are asked for."""
    lines = finished.call("tail", "runs/test", "-n", "3").stdout.splitlines()
    assert [line.split()[2:5] for line in lines] == [["row", "3", "r3"], ["row", "4", "r4"], ["row", "5", "r5"]]
    assert "answer to question 5" in lines[-1]
    failed = finished.call("tail", "runs/test", "--failed").stdout.splitlines()
    assert len(failed) == 1
    assert "FAILED row 2 r2" in failed[0]
    assert "bad_request (400)" in failed[0]


def test_tail_writes_lines_of_json(finished: JobFolder) -> None:
    """Each outcome is one JSON object on a line, with its version, the whole answer or the error."""
    documents = [json.loads(line) for line in finished.call("tail", "runs/test", "--json", "-n", "100").stdout.splitlines()]
    assert {document["format"] for document in documents} == {1}
    assert sorted(document["id"] for document in documents) == [f"r{row}" for row in range(6)]
    failed = next(document for document in documents if document["status"] == "failed")
    assert failed["error"]["code"] == "bad_request"
    assert failed["completion"] is None


def test_nothing_that_an_endpoint_says_steers_the_terminal(finished: JobFolder) -> None:
    """Control characters are visible in tail, show and status."""
    for words in (("tail", "latest"), ("show", "latest", "r2"), ("status", "latest"), ("show", "latest", "r2", "--json")):
        said = finished.call(*words)
        assert said.returncode == 0
        assert "\x1b" not in said.stdout
        assert "owned" in said.stdout


def test_show_tells_all_of_a_row(finished: JobFolder) -> None:
    """The columns, the request, each attempt with time, status and request id, and the outcome; by id or by number."""
    shown = finished.call("show", "runs/test", "r2").stdout
    for text in ("row 2 · id r2 · rows.jsonl:3", "question 2", "user: question 2", "HTTP 400", "request id req-2", "outcome   failed"):
        assert text in shown
    assert finished.call("show", "runs/test", "2").stdout == shown
    document = json.loads(finished.call("show", "latest", "r2", "--json").stdout)
    assert document["format"] == 1
    task = document["tasks"][0]
    assert task["request"]["messages"][-1]["content"] == "question 2"
    assert task["failed_attempts"][0]["request_id"] == "req-2"
    assert task["outcome"]["error"]["code"] == "bad_request"


def test_status_has_the_last_session_beside_the_whole(tmp_path: Path) -> None:
    """After a second session its rows, requests and failures stand beside the counts of all; after the first, nothing does."""
    with ScriptedEndpoint(for_rows(mixed)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, concurrency=1, parameters="price = {input = 1000.0, output = 1000.0}")
        folder.call("run", "test.toml", "--limit", "4")
        assert "session" not in folder.call("status", "latest").stdout
        assert status_document(folder)["session"] is None
        folder.call("run", "test.toml", "--retry-failed")
        shown = folder.call("status", "latest").stdout
        session = status_document(folder)["session"]
    assert "the last session, begun 20" in shown
    assert "2 ok + 1 failed (1 bad_request)" in shown
    assert "requests 3, no retries" in shown
    assert "cost $0.02" in shown
    assert (session["ended"], session["reason"], session["counts"]["ok"], session["counts"]["kept_ok"]) == (True, None, 2, 3)
    assert "attempts" not in session["counts"]
    log = folder.directory / "run.log.jsonl"
    # A line that a killed process has not written whole is passed over; what is no log says nothing.
    with log.open("a") as file:
        file.write('{"event":"progress","counts":{"ok":')
    assert status_document(folder)["session"] == session
    # One that was killed has no end, and before the first half minute no counts that say anything.
    *before, ended = [json.loads(line) for line in log.read_text().splitlines()[:-1]]
    for counts, says in (
        ({}, "was cut off (a kill, a crash, a power loss); its log"),
        (dict.fromkeys(("ok", "failed", "requests"), 0), "before"),
    ):
        killed = {**ended, "event": "progress", "counts": {**ended["counts"], **counts}}
        log.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in (*before, killed)))
        shown = folder.call("status", "latest").stdout
        assert says in shown
        assert ("2 ok + 1 failed" in shown) == (not counts)
    log.write_text('[]\nnull\n{"counts":{}}\n')
    assert status_document(folder)["session"] is None


def status_document(folder: JobFolder) -> dict[str, Any]:
    """`status --json`."""
    document: dict[str, Any] = json.loads(folder.call("status", "latest", "--json").stdout)
    return document


@pytest.mark.parametrize(
    ("api", "system"),
    [("responses", "instructions: Be brief."), ("messages", "system: Be brief."), ("chat/completions", "system: Be brief.")],
)
def test_show_reads_the_request_of_each_api(tmp_path: Path, api: str, system: str) -> None:
    """Instructions and turns are laid out as text wherever an API has them; no turn is shown as JSON."""
    with ScriptedEndpoint(lambda _: [error(400, "no")]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1, preflight=False, parameters="max_tokens = 5")
        text = folder.job.read_text()
        folder.job.write_text(text.replace("[prompt]\n", f'[prompt]\napi = "{api}"\nsystem = "Be brief."\n'))
        assert folder.call().returncode == 1
        shown = folder.call("show", "latest", "r0").stdout
    assert (system in shown, "user: question 0\n" in shown) == (True, True), shown
    assert "[{" not in shown


def test_show_of_no_row_says_so(finished: JobFolder) -> None:
    """An unknown id is a usage error with the way on."""
    said = finished.call("show", "runs/test", "r77")
    assert said.returncode == 2
    assert "no row has the id or the number 'r77'" in said.stderr


def test_show_without_the_input_names_it(finished: JobFolder) -> None:
    """Where the input is gone, the message names its path."""
    (finished.path / "rows.jsonl").unlink()
    said = finished.call("show", "runs/test", "r1")
    assert said.returncode == 2
    assert "rows.jsonl" in said.stderr


def test_runs_lists_them_and_latest_is_the_last(finished: JobFolder) -> None:
    """State, rows and size of each run; `latest` names the one started last wherever a run directory is taken."""
    document = json.loads(finished.call("runs", "--json").stdout)
    assert document["format"] == 1
    entry = document["runs"][0]
    assert (entry["name"], entry["state"], entry["ok"], entry["failed"], entry["left"]) == ("test", "failed rows", 5, 1, 0)
    assert entry["bytes"] > 1000
    assert "runs/test" in finished.call("runs").stdout
    for words in (("status", "latest"), ("verify", "latest"), ("export", "latest", "--format", "csv"), ("report", "latest")):
        assert finished.call(*words).returncode in {0, 1}, words
    assert "there is no such folder" in finished.call("runs", "nowhere").stderr
    (finished.path / "empty").mkdir()
    assert "no runs in" in finished.call("runs", "empty").stderr


def test_latest_without_a_run_says_so(tmp_path: Path) -> None:
    """Where no run is, `latest` is an error with the place that was searched."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:1/v1")
    said = folder.call("status", "latest")
    assert said.returncode == 2
    assert f"there is no run in {tmp_path}" in said.stderr


def test_a_job_may_still_write_to_a_folder_named_latest(tmp_path: Path) -> None:
    """`latest` as a job's output is a folder of that name, never another run."""
    with ScriptedEndpoint(for_rows(answer)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        run_here(folder)
        (tmp_path / "second.toml").write_text(folder.job.read_text().replace('dir = "runs/test"', 'dir = "latest"'))
        assert folder.run("run", "second.toml").returncode == 0
    assert (tmp_path / "latest" / "run.json").exists()
    assert len(folder.journal()) == 2


@contextmanager
def at_work(tmp_path: Path, processes: int) -> Iterator[tuple[JobFolder, threading.Event]]:
    """A run in a process of its own whose rows from the fourth on wait until the event is set."""
    go = threading.Event()

    def handler(received: Received) -> Iterable[Action]:
        if int(received.prompt.split()[-1]) >= 3:
            yield from until(go.is_set)
        yield chat_reply(f"answer to {received.prompt}")

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=12, concurrency=4, processes=processes)
        process = folder.start(measured=False)
        try:
            wait_for_requests(endpoint, 7, process)
            yield folder, go
            go.set()
            process.communicate()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_status_shows_what_is_in_flight(tmp_path: Path, processes: int) -> None:
    """The requests that wait are named with their rows, oldest first, and the run as running; afterwards nothing is."""
    with at_work(tmp_path, processes) as (folder, _):
        wait_until(lambda: (json.loads(folder.call("status", "latest", "--json").stdout)["live"] or {}).get("in_flight") == 4)
        status = json.loads(folder.call("status", "latest", "--json").stdout)
        assert status["running"]
        assert len(status["live"]["oldest"]) == 4
        assert all(each["row"] >= 3 for each in status["live"]["oldest"])
        since = [each["since"] for each in status["live"]["oldest"]]
        assert since == sorted(since)
        assert "in flight: 4 of at most" in folder.call("status", "latest").stdout
        assert json.loads(folder.call("runs", "--json").stdout)["runs"][0]["state"] == "running"
        row = status["live"]["oldest"][0]
        assert "is in flight for" in folder.call("show", "latest", row["id"]).stdout
    status = json.loads(folder.call("status", "latest", "--json").stdout)
    assert (status["running"], status["live"]) == (False, None)
    assert status["account"]
    assert "time: limited by" in folder.call("status", "latest").stdout


def test_tail_follows_a_run_to_its_end(tmp_path: Path) -> None:
    """All outcomes come, each once, and the command ends with the run."""
    with at_work(tmp_path, 1) as (folder, go):
        tail = folder.start("tail", "latest", "--follow", "--json", "-n", "100")
        assert tail.stdout is not None
        first = [json.loads(tail.stdout.readline())["id"] for _ in range(3)]
        go.set()
        out, err = tail.communicate()
    rest = [json.loads(line)["id"] for line in out.splitlines()]
    assert sorted(first + rest) == sorted(f"r{row}" for row in range(12))
    assert tail.returncode == 0, err


def test_the_watch_page_steers_and_shows_a_pause(tmp_path: Path) -> None:
    """A command from the page reaches the run; the pause is seen in its state, and ends."""
    from batch.app.watch import WatchedRun

    with at_work(tmp_path, 1) as (folder, go):
        watched = WatchedRun(str(folder.directory))
        assert watched.steer("pause", []).startswith("paused")
        go.set()
        wait_until(lambda: (watched.look(0)["live"] or {}).get("paused") and watched.look(0)["live"]["in_flight"] == 0)
        assert watched.look(0)["running"]
        assert "limited by a pause" in folder.call("status", "latest").stdout
        assert "set for this session" in watched.steer("set", ["concurrency=8"])
        assert watched.steer("resume", []) == "resumed"
        wait_until(lambda: not watched.look(0)["running"])
    assert len(folder.completions()) == 12


@pytest.mark.parametrize("odd", ["[" * 300 + "]" * 300, "[" * 1000 + "]" * 1000, "9" * 100], ids=["300", "1000", "an integer"])
def test_a_row_is_shown_whatever_json_it_and_its_answer_hold(tmp_path: Path, odd: str) -> None:
    """Fault 71: nesting and integers that orjson or Python's json refuses are shown as they came."""
    told = chat_body("hi").replace(b'"index":0', b'"index":0,"x":' + odd.encode())
    with ScriptedEndpoint(lambda _: [http(200, told)]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1)
        (tmp_path / "rows.jsonl").write_text(f'{{"id":"r0","text":"question 0","x":{odd}}}\n')
        assert run_here(folder).exit_code == 0
    shown = "".join(folder.call("show", "runs/test", "r0", "--json").stdout.split())
    assert shown.count(f'"x":{odd}') == 2
    assert "hi" in folder.call("show", "runs/test", "r0").stdout
