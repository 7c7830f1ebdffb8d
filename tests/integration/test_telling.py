"""What a run tells others: its log, metrics for Prometheus, notifications, events as JSON lines."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from batch import app
from batch.app import notifications
from batch.app.control import control
from batch.app.metrics import Metrics
from batch.errors import SetupError
from batch.events import RunEnded, RunStarted
from batch.job import load
from batch.policy.repeats import Repeats
from batch.rundir.local import RunDirectory
from batch.tally import Tally
from tests.support.jobs import JobFolder, lines_of, run_here
from tests.support.metrics import samples, scraped
from tests.support.scripted import PATIENCE_S, Action, Received, ScriptedEndpoint, answer, error, http
from tests.support.scripts import for_rows, refuse_every_third, row_number, until, wait_for

PRICE = "price = {input = 1000.0, output = 1000.0}\nmax_tokens = 5"


def test_metrics_agree_with_the_summary(tmp_path: Path) -> None:
    """Scraped while the run goes, and from the text file at its end, read by Prometheus' own parser: the counts are those of the report."""
    with ScriptedEndpoint(for_rows(refuse_every_third)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30, parameters=PRICE, metrics=str(tmp_path / "run.prom"))
        report = app.run(load(folder.job), app.RunOptions(), [])
    (tally,) = report.tallies.values()
    found = samples((tmp_path / "run.prom").read_text())
    assert (found["promptmill_ok_total"], found["promptmill_failed_total"]) == (tally.ok, tally.failed) == (20, 10)
    assert found["promptmill_failures_total:context_length"] == 10
    assert found["promptmill_cost_usd_total"] == pytest.approx(tally.cost_usd)
    assert (found["promptmill_done"], found["promptmill_in_flight"], found["promptmill_requests_total"]) == (30, 0, tally.requests)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_scrape_shows_attempts_times_and_limits(tmp_path: Path, processes: int) -> None:
    """While a run goes, by HTTP: attempts by code add up to the requests, each has its times; limits as set.

    With worker processes too, whose counts come over their links.
    """
    gate = threading.Event()
    refused: set[int] = set()

    def script(received: Received) -> Iterable[Action]:
        number = row_number(received)
        if number % 4 == 0 and number not in refused:
            refused.add(number)
            return [error(500, {"error": {"message": "oops"}})]
        return held(received) if number == 39 else answer(received)

    def held(received: Received) -> Iterable[Action]:
        yield from until(gate.is_set)
        yield from answer(received)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ScriptedEndpoint(for_rows(script)) as endpoint:
        folder = JobFolder(
            tmp_path, endpoint.url, rows=40, parameters=PRICE, metrics=f"127.0.0.1:{port}", processes=processes, concurrency=8, stream=True
        )
        process = folder.start()
        wait_for(lambda: is_open(port) and scraped(port).get("promptmill_done") == 39, process)
        assert control(folder.directory, "set", ["requests_per_minute=6000", "max_cost_usd=50"])["ok"]
        wait_for(lambda: scraped(port).get("promptmill_limit_max_cost_usd") == 50, process)
        wait_for(lambda: scraped(port).get("promptmill_endpoint_in_flight") == 1, process)
        found = scraped(port)
        gate.set()
        process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, found["promptmill_in_flight"], found["promptmill_limit_requests_per_minute"]) == (0, 1, 6000)
    assert found["promptmill_endpoint_serving"] >= 1
    assert (found["promptmill_attempts_total:ok"], found["promptmill_attempts_total:server_error"]) == (39, 10)
    assert (found["promptmill_requests_total"], found["promptmill_rows"]) == (50, 40)
    assert (found["promptmill_attempt_seconds_count"], found["promptmill_attempt_seconds_bucket:+Inf"]) == (49, 49)
    assert found["promptmill_attempt_seconds_sum"] > 0
    assert found["promptmill_first_token_seconds_count"] == 39
    assert found["promptmill_attempt_seconds_bucket:0.01"] <= found["promptmill_attempt_seconds_bucket:655.36"] <= 49
    assert sum(value for name, value in found.items() if name.startswith("promptmill_limited_seconds")) > 0


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_metrics_are_served_on_loopback(tmp_path: Path) -> None:
    """An address is served while the run goes and freed at its end; one that is taken is refused, and says so."""
    directory = RunDirectory(tmp_path)
    metrics = Metrics("127.0.0.1:0", directory)
    tallies = {"m": Tally(total=5, ok=2, in_flight=1, failures={"x": 1})}
    metrics.notify(RunStarted("r", "d", tallies))
    port = metrics.port
    with pytest.raises(SetupError, match="cannot be listened on"):
        Metrics(f"127.0.0.1:{port}", directory)
    found = scraped(port)
    assert (found["promptmill_ok_total"], found["promptmill_in_flight"], found["promptmill_not_attempted"]) == (2, 1, 3)
    metrics.notify(RunEnded(tallies, None))
    Metrics(f"127.0.0.1:{port}", directory).close()


def test_a_webhook_and_a_command_hear_of_the_end_and_of_half_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both get the same JSON; the command gets no key; a URL that is written out is not kept; what fails is said and not the run's."""
    script = tmp_path / "keep.py"
    script.write_text("import os, sys; open('heard', 'a').write(sys.stdin.read() + '\\n'); open('env', 'w').write(str(dict(os.environ)))")
    monkeypatch.setenv("HOUSE_KEY", "sk-canary-123456")
    monkeypatch.chdir(tmp_path)

    def held(received: Received) -> Iterable[Action]:
        # A cent a row: rows from 25 on are answered when the half of 40 cents, spent on 20 rows, was heard of.
        yield from until(lambda: row_number(received) < 25 or bool(listener.requests))
        yield from answer(received)

    with ScriptedEndpoint(lambda _: [http(204, b"")]) as listener, ScriptedEndpoint(for_rows(held)) as endpoint:
        hook = f"{listener.origin}/secret-path"
        monkeypatch.setenv("HOOK", hook)
        folder = JobFolder(
            tmp_path, endpoint.url, rows=60, parameters=PRICE, max_cost_usd=0.4, provider='api_key_env = "HOUSE_KEY"', concurrency=1
        )
        command = json.dumps(f"{sys.executable} {script}")
        folder.job.write_text(folder.job.read_text() + f'\n[notify]\nwebhook = "${{HOOK}}"\ncommand = {command}\n')
        app.run(load(folder.job), app.RunOptions(), [])
        received = [each.json() for each in listener.requests]
        assert [each["event"] for each in received] == ["half_budget", "stopped"]
        half = received[0]
        assert (half["max_cost_usd"], half["spent_usd"]) == (0.4, pytest.approx(half["ok"] / 100))
        assert 20 <= half["ok"] <= 25
        assert [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()] == received
        assert "sk-canary" not in (tmp_path / "env").read_text()
        assert "secret-path" not in (folder.directory / "run.json").read_text()
        (tmp_path / "heard").unlink()
        folder.job.write_text(folder.job.read_text().replace('"${HOOK}"', f'"{hook}"').replace(command, '"/nowhere/at-all"'))
        folder.job.write_text(folder.job.read_text().replace("max_cost_usd = 0.4", "max_cost_usd = 16"))
        done = folder.call()
        assert done.returncode == 0
        assert "the command of [notify] failed: FileNotFoundError" in done.stderr
        assert "secret-path" not in (folder.directory / "run.json").read_text()
        received = [each.json() for each in listener.requests]
    assert received[-1]["event"] == "ended"
    assert received[-1]["ok"] == 60


def test_events_are_json_lines_and_the_log_has_times(tmp_path: Path) -> None:
    """`run --json` gives an event a line on stdout, begun and ended; the log has times and is its owner's alone."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        done = folder.call("run", folder.job.name, "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert (events[0]["event"], events[-1]["event"], events[-1]["counts"]["ok"]) == ("started", "ended", 5)
        log = folder.directory / "run.log.jsonl"
        assert lines_of(log)[0]["event"] == "started"
        assert all(line["time"].startswith("20") for line in lines_of(log))
        assert log.stat().st_mode & 0o777 == 0o600
        size = log.stat().st_size
        folder.call("run", folder.job.name, "--log-level", "off")
        assert log.stat().st_size == size


def test_notices_that_say_the_same_become_one_with_a_count() -> None:
    """Within a minute one is shown, whatever its numbers; the newest of the others comes with their count, and all at the end."""
    repeats = Repeats()
    assert repeats.passes("house paused for 3 s (rate_limit)", 0.0)
    assert not repeats.passes("house paused for 4 s (rate_limit)", 10.0)
    assert not repeats.passes("house paused for 5 s (rate_limit)", 20.0)
    assert repeats.passes("house serves again", 20.0)
    assert repeats.due(30.0) == []
    assert repeats.due(60.0) == ["house paused for 5 s (rate_limit) (the last of 2 such notices)"]
    assert not repeats.passes("house paused for 6 s (rate_limit)", 70.0)
    assert repeats.due(71.0, ended=True) == ["house paused for 6 s (rate_limit)"]


def test_notifications_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that never answers and a command that never ends cost seconds, are said without the address, and fail nothing."""
    monkeypatch.setattr(notifications, "TIMEOUT_S", 0.2)
    monkeypatch.chdir(tmp_path)
    released = threading.Event()

    def silent(_: Received) -> Iterable[Action]:
        yield from until(released.is_set)

    notices: list[str] = []
    with ScriptedEndpoint() as endpoint, ScriptedEndpoint(silent) as listener:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        sleeps = json.dumps(f"{sys.executable} -c 'import time; time.sleep(600)'")
        folder.job.write_text(f'{folder.job.read_text()}\n[notify]\nwebhook = "{listener.origin}/secret"\ncommand = {sleeps}\n')
        session = run_here(folder, notices=notices)
        released.set()
    assert session.exit_code == 0
    (webhook,) = [text for text in notices if "webhook of [notify]" in text]
    (command,) = [text for text in notices if "command of [notify]" in text]
    assert "secret" not in webhook
    assert "longer than 0.2 s" in command
