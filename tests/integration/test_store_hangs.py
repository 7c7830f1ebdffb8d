"""A store that hangs under a run: what was paid for is kept, sending pauses, and the same command stores the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from batch.journal import object_writer
from batch.rundir import store_lock
from batch.rundir.store_lock import Pulse
from batch.storage import stores
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer
from tests.support.scripts import for_rows
from tests.support.stores import CONCURRENCY, S3Server, StoreJob, slow

ROWS = 2000
BEFORE = 60


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """A client that gives up after one attempt, and short times."""
    monkeypatch.setattr(stores, "_ATTEMPTS", 1)
    monkeypatch.setattr(store_lock, "PULSE", Pulse(beat_s=0.5, dead_s=4.0, settle_s=0.01))
    stores._system.cache_clear()
    yield
    stores._system.cache_clear()


def hanging_job(path: Path, s3: S3Server, endpoint: ScriptedEndpoint, **settings: object) -> StoreJob:
    """A job whose store hangs from a request on."""

    def handle(received: Received) -> Iterable[Action]:
        if len(endpoint.requests) == BEFORE:
            s3.hang()
        # However long it takes to notice that the store hangs, some rows are left to send.
        last = len(endpoint.requests) > ROWS - 2 * CONCURRENCY
        while last and s3.hangs:
            yield Sleep(0.05)
        yield from slow(received)

    endpoint.handler = for_rows(handle)
    return StoreJob(path, endpoint.url, s3, rows=ROWS, **settings)


def check_complete(folder: StoreJob, endpoint: ScriptedEndpoint, sent: int) -> None:
    """Each row has one record, and at most what was in flight was sent twice."""
    assert Counter(record.id for record in folder.records()) == Counter(str(row["id"]) for row in folder.rows)
    assert sum(endpoint.counts().values()) - ROWS <= CONCURRENCY, sent


def test_a_hung_store_loses_no_paid_answer(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promises 1, 4 and 7: the run ends with 5 after its patience, says where the answers are, and the next one stores them first."""
    monkeypatch.setattr(object_writer, "PATIENCE_S", 1.0)
    with ScriptedEndpoint() as endpoint:
        folder = hanging_job(tmp_path, s3, endpoint)
        try:
            stopped = folder.here()
        finally:
            s3.resume()
        assert stopped.exit_code == 5
        assert "answers that were not stored yet are kept in" in (stopped.reason or "")
        sent = sum(endpoint.counts().values())
        assert sent < ROWS
        notices: list[str] = []
        endpoint.handler = answer
        assert folder.here(notices=notices).exit_code == 0
        assert any("that the store had not taken earlier are stored now" in notice for notice in notices)
        check_complete(folder, endpoint, sent)


def test_a_store_that_answers_again_ends_the_pause(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1 and 4: within the patience, the run pauses and then completes; every row is sent and recorded once."""
    with ScriptedEndpoint() as endpoint:
        folder = hanging_job(tmp_path, s3, endpoint)
        resumed: list[int] = []

        class Resuming(list[str]):
            """Notices, of which the first refusal lets the store answer again: whatever it was that the store did not take."""

            def append(self, text: str) -> None:
                super().append(text)
                if "nothing more is sent while this is retried" in text and not resumed:
                    resumed.append(len(endpoint.requests))
                    s3.resume()

        notices = Resuming()
        try:
            ended = folder.here(notices=notices)
        finally:
            s3.resume()
        assert ended.exit_code == 0, ended.reason
        assert resumed
        assert any("nothing more is sent while this is retried, for up to" in notice for notice in notices)
        assert any("sending resumes" in notice for notice in notices)
        check_complete(folder, endpoint, resumed[0])


def test_fresh_takes_what_was_not_stored_aside(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--fresh deletes nothing that was paid for, and answers of an earlier run never become those of the new one."""
    monkeypatch.setattr(object_writer, "PATIENCE_S", 0.0)
    with ScriptedEndpoint() as endpoint:
        folder = hanging_job(tmp_path, s3, endpoint)
        try:
            assert folder.here().exit_code == 5
        finally:
            s3.resume()
        endpoint.handler = answer
        assert folder.here(fresh=True).exit_code == 0
        assert len(folder.records()) == ROWS
        aside = [name for name in s3.names(folder.at) if name.startswith("old/") and "/unsent/house--test-model/" in name]
        assert aside
        assert s3.get(f"{folder.at}/{aside[0]}").count(b"\n") > 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_workers_keep_what_a_hung_store_does_not_take(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1, 4 and 7: with several processes too, at the times of a real run: 5, and the next command stores the answers first."""
    with ScriptedEndpoint() as endpoint:
        folder = hanging_job(tmp_path, s3, endpoint, processes=2)
        try:
            stopped = folder.run(timeout=400)
        finally:
            s3.resume()
        assert stopped.returncode == 5, stopped.stderr
        sent = sum(endpoint.counts().values())
        assert sent < ROWS
        endpoint.handler = answer
        ended = folder.run(timeout=150)
        assert ended.returncode == 0, ended.stderr
        assert "that the store had not taken earlier are stored now" in ended.stderr
        check_complete(folder, endpoint, sent)
