"""A run by batches: the same outputs as live, whatever becomes of a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import JobFolder, check_accounts, ids, lines_of, run_here
from tests.support.scripted import error


def job(path: Path, server: BatchServer, *, rows: int = 25, batch: str = "", **settings: Any) -> JobFolder:
    """A job that sends its rows by batches of ten."""
    settings = {"engine": "batch-api", "preflight": False, "attempts": 4, **settings}
    provider = settings.pop("provider", 'batch = "files"')
    path.mkdir(exist_ok=True)
    folder = JobFolder(path, server.url, provider=provider, rows=rows, **settings)
    folder.job.write_text(f"{folder.job.read_text()}\n[batch]\npoll_s = 0.02\nmax_requests = 10\n{batch}\n")
    return folder


def check_done(folder: JobFolder, server: BatchServer) -> None:
    """Every row has its own answer, in order, and nothing was submitted twice or left behind."""
    check_done_or_failed(folder, server)
    assert len(set(server.sent_ids)) == len(server.sent_ids)


def check_done_or_failed(folder: JobFolder, server: BatchServer) -> None:
    """As `check_done`, where batches may have failed as a whole."""
    assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in folder.rows]
    assert not server.unused_uploads
    check_accounts(folder)


def ledger(folder: JobFolder) -> list[dict[str, Any]]:
    """The events of the run's submissions."""
    return lines_of(folder.directory / "submissions.jsonl")


def test_the_outputs_are_those_of_a_live_run(tmp_path: Path) -> None:
    """25 rows in three batches whose answers come in another order: the same completions as live, and a second run sends nothing."""
    with BatchServer(Plan(looks=3)) as server:
        folder, live = job(tmp_path / "a", server), job(tmp_path / "b", server, engine="live")
        assert run_here(folder).exit_code == run_here(live).exit_code == 0
        check_done(folder, server)
        own = ("latency_s", "first_token_s")
        by_batch, sent_live = ([{k: v for k, v in line.items() if k not in own} for line in each.completions()] for each in (folder, live))
        assert by_batch == sent_live
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 10, 5]
        assert run_here(folder).exit_code == 0
        assert server.creates == 3


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("status", ["expired", "cancelled", "completed"])
def test_what_expired_is_kept_and_the_rest_is_sent_live(tmp_path: Path, status: str, absent: str | None) -> None:
    """A batch that ends at 60 %: its answers are taken, its other rows sent live (fault 76); null and empty ids mean there is no file."""
    with BatchServer(Plan(done=0.6, status=status, absent=absent)) as server:
        folder = job(tmp_path, server)
        session = run_here(folder)
        assert session.exit_code == 0
        check_done(folder, server)
        assert len(server.live) == 4 + 4 + 2
        assert session.tally.ok == 25


def test_the_rest_goes_into_the_next_batch(tmp_path: Path) -> None:
    """With rest = "batch" what a batch left undone is in the next one, and nothing is sent live."""
    with BatchServer() as server:
        server.plans = [Plan(done=0.6, status="expired"), Plan(done=0.5, status="expired")]
        folder = job(tmp_path, server, rows=10, batch='rest = "batch"')
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 4, 2]
        assert not server.live


@pytest.mark.parametrize("rest", ["batch", "live", "leave"])
def test_a_rest_that_was_answered_is_none(tmp_path: Path, rest: str) -> None:
    """What the next batch has answered is no rest: the same command again ends with 0, and says and sends nothing."""
    with BatchServer() as server:
        server.plans = [Plan(done=0.6, status="expired")]
        folder = job(tmp_path, server, rows=10, batch='rest = "batch"', max_cost_usd=100.0, parameters="price = {input = 1, output = 1}")
        assert run_here(folder).exit_code == 0
        folder.job.write_text(folder.job.read_text().replace('rest = "batch"', f'rest = "{rest}"'))
        session = run_here(folder)
        assert (session.exit_code, session.reason) == (0, "")
        assert not [text for text in session.notices if "undone" in text]
        assert (server.creates, server.live) == (2, [])
        check_done(folder, server)


def test_a_rest_that_the_input_has_no_longer_is_none(tmp_path: Path) -> None:
    """Rows that a batch left and that were taken out of the input are not waited for: the rest is what the job still asks for."""
    with BatchServer(Plan(done=0.6, status="expired")) as server:
        folder = job(tmp_path, server, rows=10, batch='rest = "leave"')
        assert run_here(folder).exit_code == 5
        folder.rows = folder.rows[:6]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in folder.rows))
        session = run_here(folder)
        assert (session.exit_code, server.creates) == (0, 1), session.reason


def test_batches_that_always_expire_end(tmp_path: Path) -> None:
    """Rows that no batch carries out are left after the attempts of the job, not submitted for ever."""
    with BatchServer(Plan(done=0.0, status="expired")) as server:
        session = run_here(job(tmp_path, server, rows=3, batch='rest = "batch"'))
        assert (session.exit_code, session.tally.ok) == (5, 0)
        assert server.creates == 4


def test_the_rest_is_left_where_the_job_says_so(tmp_path: Path) -> None:
    """With rest = "leave" a session ends with 5 and what is done; the same command with another policy takes the rest up."""
    with BatchServer(Plan(done=0.6, status="expired")) as server:
        folder = job(tmp_path, server, rows=10, batch='rest = "leave"')
        session = run_here(folder)
        assert (session.exit_code, session.tally.ok, len(server.live)) == (5, 6, 0)
        folder.job.write_text(folder.job.read_text().replace('"leave"', '"live"'))
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (len(server.live), server.creates) == (4, 1)


def test_error_lines_are_judged_as_live_refusals(tmp_path: Path) -> None:
    """A line with a 400 fails its row, one with a 429 or a 500 is sent live, and one whose body is no answer is not taken for one."""
    refused = {"error": {"message": "bad", "type": "invalid_request_error"}}
    refuse = {0: (400, refused), 1: (429, {"error": {"message": "slow"}}), 2: (500, {}), 3: (200, {"error": {"message": "broken"}})}
    with BatchServer(Plan(refuse=refuse)) as server:
        folder = job(tmp_path, server, rows=10)
        session = run_here(folder)
        assert session.exit_code == 1
        assert ids(folder.errors()) == ["r0"]
        assert folder.errors()[0]["error"]["http_status"] == 400
        assert ids(folder.completions()) == [f"r{number}" for number in range(1, 10)]
        assert len(server.live) == 3
        assert {line["id"]: line["attempts"] for line in folder.completions()}["r1"] == 2


@pytest.mark.parametrize("limit", [2, "10%", None])
def test_too_many_failures_end_the_run(tmp_path: Path, limit: int | str | None) -> None:
    """run.max_failures counts lines of batches: what was done is kept, nothing more is submitted, and the reason has an example.

    Without a limit a run ends whose first 20 rows all fail alike.
    """
    refuse = {place: (400, {"error": {"message": f"no {place}"}}) for place in range(3 if limit == 2 else 10)}
    with BatchServer(Plan(refuse=refuse)) as server:
        settings = {} if limit is None else {"max_failures": limit}
        # Further batches wait for the tokens that these may enqueue.
        server.limit_requests = 20
        folder = job(tmp_path, server, rows=100, **settings)
        session = run_here(folder)
        assert session.exit_code == 5
        assert ("rows all failed with" if limit is None else "run.max_failures") in session.reason
        assert "for example row" in session.reason
        assert session.tally.failed >= len(refuse)
        assert len(server.batches) <= 10 - 6
        assert not server.live


def test_doubled_and_unknown_lines_swap_no_rows(tmp_path: Path) -> None:
    """Lines with an id that came before, or that is not of the batch, are reported and not taken."""
    with BatchServer(Plan(doubled=3, unknown=2)) as server:
        folder = job(tmp_path, server, rows=10)
        session = run_here(folder)
        assert session.exit_code == 0
        check_done(folder, server)
        assert any("2 with an unknown id" in text and "3 with an id that came before" in text for text in session.notices)


def test_all_lines_failed(tmp_path: Path) -> None:
    """A completed batch without an output file: all its lines are errors, and each row fails with its own."""
    refuse = {place: (400, {"error": {"message": f"no {place}"}}) for place in range(10)}
    with BatchServer(Plan(refuse=refuse)) as server:
        folder = job(tmp_path, server, rows=10)
        assert run_here(folder).exit_code == 1
        assert [line["error"]["message"] for line in folder.errors()] == [f"no {place}" for place in range(10)]
        assert not server.live


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_reply_to_create_makes_one_batch(tmp_path: Path, when: str) -> None:
    """The connection is cut before or after the provider has created the batch: there is one batch of each ten rows (fault 76)."""
    with BatchServer() as server:
        server.lose = {2: when}
        folder = job(tmp_path, server)
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert [len(batch.lines) for batch in server.batches.values()].count(10) == 2
        assert len(server.batches) == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_reply_to_an_upload_leaves_no_file(tmp_path: Path, when: str) -> None:
    """The connection is cut before or after the file is there: it is removed, and uploaded again."""
    with BatchServer() as server:
        server.lose_uploads = {1: when}
        folder = job(tmp_path, server)
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (len(server.batches), len(server.deleted)) == (3, 1 if when == "after" else 0)


@pytest.mark.parametrize("when", ["create", "later"])
def test_the_limit_of_enqueued_tokens_is_waited_for(tmp_path: Path, when: str) -> None:
    """Where two batches are too many at once the second waits for the first, found at create or by a failed batch."""
    with BatchServer() as server:
        server.limit_requests, server.limit_when = 15, when
        folder = job(tmp_path, server, rows=40)
        assert run_here(folder).exit_code == 0
        check_done_or_failed(folder, server)
        done = [len(batch.lines) for batch in server.batches.values() if batch.status == "completed"]
        assert sum(done) == 40


@pytest.mark.parametrize("when", ["create", "later"])
def test_batches_beyond_the_limit_are_halved(tmp_path: Path, when: str) -> None:
    """A batch that is too large by itself is submitted in halves."""
    with BatchServer() as server:
        server.limit_requests, server.limit_when = 6, when
        folder = job(tmp_path, server, rows=20)
        assert run_here(folder).exit_code == 0
        check_done_or_failed(folder, server)
        assert {len(batch.lines) for batch in server.batches.values() if batch.status == "completed"} == {5}


def test_a_refusal_for_the_rate_is_waited_for(tmp_path: Path) -> None:
    """A 429 at create is certain: the same file is used again, and no list is searched."""
    with BatchServer() as server:
        server.refuse_creates = [error(429, "too many batches"), error(429, "too many batches")]
        folder = job(tmp_path, server, rows=10)
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (server.uploads, server.creates) == (1, 3)


def test_a_refused_file_stops_the_run_and_is_removed(tmp_path: Path) -> None:
    """A 400 at create ends the session with 5 and the provider's words; the upload is removed and nothing counts as submitted."""
    with BatchServer() as server:
        server.refuse_creates = [error(400, "batches are not for you")]
        folder = job(tmp_path, server, rows=10)
        session = run_here(folder)
        assert session.exit_code == 5
        assert "batches are not for you" in session.reason
        assert not server.unused_uploads
        assert run_here(folder).exit_code == 0
        check_done(folder, server)


def test_rows_that_validation_names_hold_up_no_others(tmp_path: Path) -> None:
    """A batch fails for one of its lines: the others are submitted again without it, and it is sent live."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=10)
        rows = [*folder.rows[:4], {"id": "r4", "text": "refuse this line"}, *folder.rows[5:]]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        folder.rows = rows
        assert run_here(folder).exit_code == 0
        assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in rows]
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 9]
        assert len(server.live) == 1


def test_equal_requests_are_submitted_once(tmp_path: Path) -> None:
    """Ten rows with two questions: a batch has two requests, and all rows have their answer."""
    with BatchServer() as server:
        folder = job(tmp_path, server)
        rows = [{"id": f"r{number}", "text": f"question {number % 2}"} for number in range(10)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        folder.rows = rows
        session = run_here(folder)
        assert [line["completion"] for line in folder.completions()] == [f"answer to {row['text']}" for row in rows]
        assert [len(batch.lines) for batch in server.batches.values()] == [2]
        assert session.tally.copies == 8


def test_detached_runs_are_collected_by_resume(tmp_path: Path) -> None:
    """--detach ends after submission, with 5; a live run of the same directory is refused; resume collects without submitting."""
    with BatchServer(Plan(looks=4)) as server:
        folder = job(tmp_path, server)
        ended = folder.call("run", folder.job.name, "--detach")
        assert ended.returncode == 5, ended.stderr
        assert (server.creates, len(server.batches)) == (3, 3)
        assert "3 in_progress, 25 requests" in folder.call("status", "runs/test").stdout
        refused = folder.call("run", folder.job.name, "--engine", "live")
        assert refused.returncode == 2
        assert "not collected" in refused.stderr
        assert not server.live
        assert folder.call("run", folder.job.name, "--fresh").returncode == 2
        assert folder.call("resume", "runs/test").returncode == 0
        check_done(folder, server)
        assert server.creates == 3


def test_cancel_cancels_and_keeps_what_was_done(tmp_path: Path) -> None:
    """`cancel` asks the provider, collects the half that was done, and leaves the rest for the next run; a second one finds nothing."""
    with BatchServer(Plan(looks=1000)) as server:
        folder = job(tmp_path, server, rows=10)
        assert folder.call("run", folder.job.name, "--detach").returncode == 5
        ended = folder.call("cancel", "runs/test")
        assert ended.returncode == 0, ended.stderr
        assert [batch.status for batch in server.batches.values()] == ["cancelled"]
        assert len(folder.completions()) == 5
        assert "nothing is open" in folder.call("cancel", "runs/test").stderr
        assert folder.call("resume", "runs/test").returncode == 0
        check_done(folder, server)
        assert len(server.live) == 5


def test_a_batch_that_takes_too_long_is_cancelled(tmp_path: Path) -> None:
    """After max_wait a batch is cancelled, its answers kept and its other rows sent live."""
    with BatchServer(Plan(looks=1_000_000)) as server:
        folder = job(tmp_path, server, rows=10, batch='max_wait = "1s"')
        assert run_here(folder).exit_code == 0
        check_done(folder, server)
        assert (len(server.live), [batch.status for batch in server.batches.values()]) == (5, ["cancelled"])


def test_two_models_are_submitted_at_once(tmp_path: Path) -> None:
    """Each batch has one model; all are open at the same time."""
    with BatchServer(Plan(looks=3)) as server:
        folder = job(tmp_path, server, rows=10)
        folder.job.write_text(folder.job.read_text().replace("[run]", '[[model]]\nid = "house/second"\ntemperature = 0\n\n[run]'))
        assert folder.call().returncode == 0
        assert sorted({line["body"]["model"] for line in batch.lines} == {"second"} for batch in server.batches.values()) == [False, True]
        events = [event["event"] for event in ledger(folder)]
        assert events.index("collected") > max(at for at, event in enumerate(events) if event == "created")
        assert len(folder.completions()) == 20


@pytest.mark.parametrize(("limit", "failed"), [(5, 10), ("30%", 20), (None, 20), ("100%", 40)])
def test_failures_in_batches_count(tmp_path: Path, limit: int | str | None, failed: int) -> None:
    """Beyond `run.max_failures`, or where the first rows all fail alike, no further batch is submitted; a raised limit continues.

    Of 40 rows in batches of ten all fail, and the provider takes one batch at a time. A share counts from 20 rows on.
    """
    refuse = {line: (400, {"error": {"message": "bad", "type": "invalid_request_error"}}) for line in range(10)}
    with BatchServer(Plan(refuse=refuse)) as server:
        server.limit_requests = 10
        folder = job(tmp_path, server, rows=40, **({} if limit is None else {"max_failures": limit}))
        session = run_here(folder)
        assert (session.exit_code, session.tally.failed) == (1 if failed == 40 else 5, failed), session.reason
        assert failed == 40 or ("run.max_failures" in session.reason and "for example row" in session.reason)
        check_accounts(folder, session.report)
        assert run_here(folder, 'run.max_failures="100%"').exit_code == 1
        assert len(folder.errors()) == 40
