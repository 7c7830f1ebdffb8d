"""Batches of a run whose directory is on an object store: another machine collects what this one has submitted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch import app
from batch.executors.batch_options import BatchOptions
from batch.job import load
from batch.rundir import store_lock
from batch.rundir.store_lock import Pulse
from tests.support.batch_server import BatchServer, Plan
from tests.support.stores import S3Server, StoreJob


@pytest.fixture(autouse=True)
def quick_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock's times, shorter for runs in this process."""
    monkeypatch.setattr(store_lock, "PULSE", Pulse(beat_s=0.5, dead_s=20.0, settle_s=0.01))


def test_another_machine_collects(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted with one copy of the folder, collected with another: each row once, and nothing submitted twice."""
    with BatchServer(Plan(looks=3, done=0.8, status="expired")) as server:
        folder = StoreJob(tmp_path, server.url, s3, rows=20, provider='batch = "files"', engine="batch-api", preflight=False)
        folder.job.write_text(f"{folder.job.read_text()}\n[batch]\npoll_s = 0.02\nmax_requests = 10\n")
        loaded = load(folder.job, [], {})
        ended = app.run(loaded, app.RunOptions(batch=BatchOptions(detach=True)), [])
        assert ended.cause == "waiting"
        assert "submissions.jsonl" in s3.names(folder.at)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
        assert app.resume(folder.address, (), app.RunOptions(), []).exit_code == 0
        lines = s3.get(f"{folder.at}/completions.jsonl").splitlines()
        assert [json.loads(line)["completion"] for line in lines] == [f"answer to {row['text']}" for row in folder.rows]
        assert (server.creates, len(server.live)) == (2, 4)
        assert not [name for name in s3.names(folder.at) if name.endswith((".requests.jsonl", ".result-0.jsonl"))]
