"""What a stopped run may have been billed is one figure everywhere: summary, status, plan and budget (fault 69)."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from batch.app.control import control
from tests.support.jobs import JobFolder, rows_sent
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, answer, chat_reply, error
from tests.support.scripts import for_rows, until, wait_for, wait_for_line

PRICE = "price = { input = 1000.0, output = 1000.0 }\nmax_tokens = 100"
IN_FLIGHT = 4


def test_requests_given_up_at_a_stop_are_in_every_figure_of_money(tmp_path: Path) -> None:
    """Fault 69, promise 4: requests in flight at a second Ctrl-C are counted, and their possible cost is the same in all places."""
    with ScriptedEndpoint(for_rows(lambda received: [HANG] if rows_sent(endpoint) > 10 else answer(received))) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30, concurrency=IN_FLIGHT, grace_s=3600, parameters=PRICE)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= 10 + IN_FLIGHT, process)
        process.send_signal(signal.SIGINT)
        wait_for_line("stopping", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert f"{IN_FLIGHT} given up in flight, possibly billed" in err
        endpoint.handler = answer

        status = json.loads(folder.call("status", "runs/test", "--json").stdout)
        text = folder.call("status", "runs/test").stdout
        plan = json.loads(folder.call("plan", folder.job.name, "--json").stdout)
        assert status["abandoned"] == IN_FLIGHT
        assert status["unrecorded_usd"] > 0
        (shown,) = re.findall(r"up to \$([\d.,]+) more for attempts without reported usage", err)
        assert abs(float(shown) - status["unrecorded_usd"]) < 0.005
        assert f"{IN_FLIGHT} requests were given up in flight" in text
        known = sum(variant["cost_usd"] + variant["extra_usd"] for variant in status["variants"])
        assert abs(plan["spent_usd"] - known - status["unrecorded_usd"]) < 1e-9

        assert folder.call().returncode == 0
        after = json.loads(folder.call("status", "runs/test", "--json").stdout)
    assert (after["abandoned"], after["unrecorded_usd"]) == (status["abandoned"], status["unrecorded_usd"])
    assert len(folder.completions()) == 30


def test_a_terminal_that_closes_gives_up_nothing(tmp_path: Path) -> None:
    """Faults 69 and 75: SIGHUP comes up to three times, from the kernel and the shell: what is in flight ends all the same."""
    with ScriptedEndpoint(for_rows(lambda received: chain(until(lambda: bool(closed)), answer(received)))) as endpoint:
        closed: list[int] = []
        folder = JobFolder(tmp_path, endpoint.url, rows=30, concurrency=IN_FLIGHT, grace_s=3600, parameters=PRICE)
        process = folder.start()
        wait_for(lambda: rows_sent(endpoint) >= IN_FLIGHT, process)
        process.send_signal(signal.SIGHUP)
        wait_for_line("stopping", process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        # Answered after the run has heard of them: a request to its socket comes after them in the same loop.
        assert control(folder.directory, "state")
        closed.append(1)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert "given up" not in err
        assert len(folder.completions()) == rows_sent(endpoint) == IN_FLIGHT


def test_an_old_run_counts_its_money_without_a_number_of_requests(tmp_path: Path) -> None:
    """Fault 69: run.json of a version that recorded only the money of a stop is read as it is; no number of requests is made up."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        assert folder.call().returncode == 0
    written = folder.directory / "run.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), "unrecorded_usd": 0.5}))
    shown = folder.call("status", "runs/test").stdout
    assert "up to $0.5000 were spent, or may have been, on requests without an outcome" in shown
    assert "given up" not in shown


def test_a_run_without_a_stop_spends_nothing_beside_its_answers(tmp_path: Path) -> None:
    """Promise 4: sums of the costs of many answers leave no rounding error that summary and run.json call money of lost replies."""
    cheap = "price = { input = 1.0, output = 4.0 }\nmax_tokens = 50"
    rows = [{"id": f"r{number}", "text": "word " * (number % 37)} for number in range(300)]
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, parameters=cheap)
        ended = folder.call()
    assert (ended.returncode, "more for attempts" in ended.stderr) == (0, False), ended.stderr
    assert json.loads(folder.call("status", "runs/test", "--json").stdout)["unrecorded_usd"] == 0


def test_status_bounds_a_cost_that_the_endpoint_did_not_report(tmp_path: Path) -> None:
    """Promise 4: where no answer has usage, status gives the same upper bound as the summary, beside "unknown"."""
    with ScriptedEndpoint(for_rows(lambda _: [chat_reply("yes", usage={"note": "none"})])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5, parameters=PRICE)
        err = folder.call().stderr
    (shown,) = re.findall(r"cost +unknown, and up to (\$[\d.,]+) more for attempts without reported usage", err)
    text = folder.call("status", "runs/test").stdout
    assert f"up to {shown} for attempts without reported usage" in text
    assert "the cost is unknown" in text


def test_each_request_of_a_run_is_named_in_the_summary(tmp_path: Path) -> None:
    """Promise 4: requests = first attempts + retries + tests of the endpoint, and the endpoint saw as many."""
    refused = error(400, "this row cannot be read")
    bad = {"question 20", "question 21"}

    def handler(received: Received) -> Iterable[Action]:
        return [refused] if received.prompt in bad else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=22, concurrency=1, parameters=PRICE)
        err = folder.call().stderr
        sent = rows_sent(endpoint)
    (requests,) = re.findall(r"requests +(\d+), ", err)
    retries = sum(map(int, re.findall(r"(\d+) of them retries", err)))
    (probes,) = re.findall(r"(\d+) to test an endpoint with a row answered before", err)
    assert int(requests) == len(folder.rows) + retries + int(probes) == sent
