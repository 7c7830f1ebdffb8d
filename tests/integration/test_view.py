"""The server of the live page: for its own reader alone, read only, and bounded however large a run is."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from batch.app.view import view_server
from batch.app.viewing.viewed_run import KEPT, SENT_AT_ONCE, open_viewed
from batch.errors import RunDirectoryError, SetupError
from batch.journal.lines import encode
from tests.support.runs import FinishedRun, variant
from tests.support.served_page import served
from tests.support.stores import outcome


def fetched(
    address: str, path: str = "", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of a request below the address."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 0, timeout=60)
    connection.request(method, path if path.startswith("/") else url.path + path, headers=dict(headers or {}))
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    """A run of three rows, one failed and then answered."""
    outcomes = [outcome(0), outcome(1, error="rate_limit"), outcome(2), outcome(1)]
    return FinishedRun(tmp_path / "runs" / "one", [{"text": "a"}, {"text": "b"}, {"text": "c"}], {"m": outcomes})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    """The folder of runs."""
    (tmp_path / "runs" / "one").mkdir(parents=True)


def test_the_page_is_for_those_who_have_its_address(run: FinishedRun) -> None:
    """Without the token, with another, or with one that only begins like it, nothing is shown."""
    with served(run.directory.path) as address:
        assert fetched(address)[0] == 200
        token = urlsplit(address).path.strip("/")
        for path in ("/", "/api/run", f"/{token[:-1]}/", f"/{token}x/", f"/{'x' * len(token)}/", "/favicon.ico", f"/{token}/../api/run"):
            assert fetched(address, path)[0] in {403, 404}, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_no_other_origin_is_served(run: FinishedRun, headers: Mapping[str, str]) -> None:
    """A name that was rebound to this machine, or a page of another origin, gets nothing, even with the token."""
    with served(run.directory.path) as address:
        status, _, body = fetched(address, "api/run", headers)
    assert status == 403
    assert b"timeline" not in body


def test_it_is_read_only_and_may_not_be_framed_or_read_elsewhere(run: FinishedRun) -> None:
    """No method but GET and HEAD; each reply forbids frames, other scripts, sniffing, caching and referrers."""
    before = {path: path.read_bytes() for path in run.directory.path.rglob("*") if path.is_file()}
    with served(run.directory.path) as address:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert fetched(address, method=method)[0] == 501
        for path in ("", "view.js", "view.css", "api/run", "api/runs", "api/row?id=1", "nothing"):
            _, headers, _ = fetched(address, path)
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers
        assert fetched(address, method="HEAD")[2] == b""
    assert {path: path.read_bytes() for path in run.directory.path.rglob("*") if path.is_file()} == before


def test_only_runs_of_the_folder_can_be_named(run: FinishedRun, tmp_path: Path) -> None:
    """A path that leads elsewhere is no run here."""
    (tmp_path / "other").mkdir()
    FinishedRun(tmp_path / "other", [{"text": "secret"}], {"m": [outcome(0)]})
    with served(run.directory.path) as address:
        listed = json.loads(fetched(address, "api/runs")[2])["runs"]
        assert [entry["run"] for entry in listed] == ["run"]
        for name in ("../../other/run", str(tmp_path / "other" / "run"), "run/../../other", "latest"):
            assert fetched(address, f"api/run?run={name}")[0] == 404


def test_the_newest_outcome_of_a_task_counts(run: FinishedRun) -> None:
    """Counts are of tasks, the timeline of records; rows and failures come with numbers, so that only new ones are sent."""
    with served(run.directory.path) as address:
        found = json.loads(fetched(address, "api/run")[2])
        assert found["whole"]
        assert found["variants"] == [{"name": "m", "total": 3, "ok": 3, "failed": 0}]
        assert [row["row"] for row in found["rows"]] == [0, 1, 2, 1]
        assert [row["row"] for row in found["failures"]] == [1]
        assert sum(found["timeline"]["ok"]) == 3
        later = json.loads(fetched(address, "api/run?after=4")[2])
        assert later["rows"] == later["failures"] == []


def test_a_damaged_journal_is_no_end_of_the_page(run: FinishedRun) -> None:
    """What is no record is skipped: `promptmill verify` names it."""
    path = max(run.directory.journal_dir("m").glob("*.jsonl"))
    path.write_bytes(path.read_bytes() + b'{"sum":"junk\n' + b"\xff\xfe\n" + b"[1, 2]\n")
    with served(run.directory.path) as address:
        assert json.loads(fetched(address, "api/run")[2])["read"] == 4


def test_what_cannot_be_served_is_said_at_once(tmp_path: Path, run: FinishedRun) -> None:
    """A folder without a run, and a port that is in use, are errors of the command."""
    with pytest.raises(RunDirectoryError, match="no run was begun here"):
        view_server(str(tmp_path))
    with served(run.directory.path) as address, pytest.raises(SetupError, match="give another --port"):
        view_server(str(run.directory.path), urlsplit(address).port or 0)


def look(run: FinishedRun, after: int = 0) -> dict[str, Any]:
    """What a page sees of a run once all is read."""
    viewed = open_viewed(str(run.directory.path))
    while not (found := viewed.look(after))["whole"]:
        pass
    return found


def test_a_large_run_is_sent_in_samples_and_buckets(tmp_path: Path) -> None:
    """The reply's size does not depend on the number of rows: the newest rows, and at most 400 buckets."""
    (tmp_path / "large").mkdir()
    count = 3000
    outcomes = [replace(outcome(row), sent=1.7e9 + row, done=1.7e9 + row + 0.5) for row in range(count)]
    found = look(FinishedRun(tmp_path / "large", [{"text": "x"}] * count, {"m": outcomes}, segment_bytes=1 << 20))
    assert found["read"] == count
    assert len(found["rows"]) == SENT_AT_ONCE <= KEPT
    assert len(found["timeline"]["start"]) <= 400
    assert sum(found["timeline"]["ok"]) == count
    assert found["timeline"]["latency_s"]["p50"][-1] == pytest.approx(0.5, rel=0.03)
    assert len(json.dumps(found)) < 200_000


@pytest.mark.long
def test_a_million_rows_are_read_without_being_loaded(tmp_path: Path) -> None:
    """All are counted, in memory that does not grow with their texts: 9 bytes a record, and the newest places."""
    import resource
    import time

    (tmp_path / "large").mkdir()
    count = 1_000_000
    run = FinishedRun(tmp_path / "large", [{"text": "x"}], {}, variants=[variant("m")])
    folder = run.directory.journal_dir("m")
    folder.mkdir(parents=True)
    with (folder / "000001.jsonl").open("wb") as file:
        for row in range(count):
            file.write(encode(replace(outcome(row), sent=1.7e9 + row / 100, done=1.7e9 + row / 100 + 0.5)))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = look(run)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\n1,000,000 rows: {time.process_time() - began:.1f} s of one core, {grown:.0f} MiB more")
    assert found["variants"][0]["ok"] == count
    assert len(found["timeline"]["start"]) <= 400
    assert grown < 200
