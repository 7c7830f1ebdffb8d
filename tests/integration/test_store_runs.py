"""Run directories on an object store: moto's S3 server on loopback, killed and resumed there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import app
from batch.app.evaluate import evaluate
from batch.app.look import show
from batch.app.report import report
from batch.app.stored import open_run, open_scored
from batch.errors import DamagedError, LockedError, PromptmillError, RunDirectoryError
from batch.job import load
from batch.journal.segment_name import parsed_name
from batch.results.run_timeline import timeline_of
from batch.rundir import store_lock
from batch.rundir.opening import open_run_directory
from batch.rundir.store_lock import Pulse
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import Tries, for_rows, wait_for, wait_until
from tests.support.stores import S3Server, StoreJob, slow


@pytest.fixture(autouse=True)
def quick_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock's times, shorter for runs in this process."""
    monkeypatch.setattr(store_lock, "PULSE", Pulse(beat_s=0.5, dead_s=20.0, settle_s=0.01))


def chat_shards(s3: S3Server, bucket: str, folder: Path, shards: int, rows: int) -> list[str]:
    """Parquet shards with chats as lists of structs, as Hugging Face stores them; returns the ids."""
    for shard in range(shards):
        numbers = range(shard * rows, (shard + 1) * rows)
        chats = [[{"role": "system", "content": "be brief"}, {"role": "user", "content": f"question {n}"}] for n in numbers]
        pq.write_table(pa.table({"id": [f"r{n}" for n in numbers], "chat": chats}), folder / "shard.parquet", row_group_size=50)
        s3.put(f"{bucket}/data/train-{shard:05d}-of-{shards:05d}.parquet", (folder / "shard.parquet").read_bytes())
    return [f"r{n}" for n in range(shards * rows)]


def test_killed_twice_on_the_store_every_row_has_one_outcome(s3: S3Server, tmp_path: Path) -> None:
    """Promises 1, 2, 4: sharded Parquet chats on S3, run and outputs on S3, SIGKILL twice: complete, re-sent <= in flight + not flushed."""
    with ScriptedEndpoint() as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3)
        known = chat_shards(s3, folder.bucket, tmp_path, shards=4, rows=100)
        text = folder.job.read_text().replace('"rows.jsonl"', f'"s3://{folder.bucket}/data/*.parquet"').replace("format", "#")
        text = text.replace('user = "{{ text }}"', 'messages = "chat"').replace('columns = ["text"]', 'format = "parquet"')
        folder.job.write_text(text)
        unflushed = 0
        for kill in (1, 2):
            most = 130 * kill
            endpoint.handler = for_rows(lambda received, most=most: [HANG] if received.number > most else slow(received))
            process = folder.start(measured=False)
            wait_for(lambda kill=kill: len(folder.segments()) >= kill, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            wait_until(lambda: not endpoint.open_connections)  # then it has read all that was sent
            # What was sent and is on no segment was in flight or not flushed; no more than that may be sent again.
            unflushed += sum(endpoint.counts().values()) - len(folder.records()) - (unflushed if kill == 2 else 0)
        endpoint.handler = slow
        kept = len(folder.records())
        assert 0 < kept < len(known)
        ended = folder.run("resume", folder.address)
        assert ended.returncode == 0, ended.stderr
        assert f"{kept} of them from earlier sessions" in ended.stderr
        sent = endpoint.counts()
    records = folder.records()
    assert sorted(record.id for record in records) == sorted(known)
    assert len(sent) == len(known)
    assert sum(sent.values()) - len(known) == unflushed
    completions = pq.read_table(pa.BufferReader(s3.get(f"{folder.at}/completions.parquet"))).to_pylist()
    assert ids(completions) == known
    verified = folder.call("verify", folder.address, "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["complete"]
    assert json.loads(folder.call("status", folder.address, "--json").stdout)["variants"][0]["ok"] == len(known)


def test_each_session_has_segments_of_its_own(s3: S3Server, tmp_path: Path) -> None:
    """Objects are never appended to: a session takes the next number, and its flushes count up; all but the last are merged at its end."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=100)
        assert folder.here("input.limit=20").exit_code == 0
        assert folder.here().exit_code == 0
    names = [name for file in folder.segments() if (name := parsed_name(file.rpartition("/")[2])) is not None]
    assert {name.number for name in names} == {1, 2}
    for number in (1, 2):
        *merged, last = [name for name in names if name.number == number]
        assert not last.since
        assert [(name.since or name.part, name.part) for name in merged] == ([(1, last.part - 1)] if last.part > 1 else [])
    assert len(folder.records()) == 100


def test_status_export_and_report_work_from_another_machine(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the address is needed: another cache, and no job file."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=[{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])
        assert folder.here().outputs == (f"{folder.address}/completions.jsonl", f"{folder.address}/errors.jsonl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    status = app.status(folder.address)
    assert (status.directory, status.variants[0].ok) == (folder.address, 2)
    exported = folder.call("export", folder.address, "--format", "csv", "-o", f"s3://{folder.bucket}/out")
    assert exported.stdout.splitlines() == [f"s3://{folder.bucket}/out/completions.csv", f"s3://{folder.bucket}/out/errors.csv"]
    app.export(folder.address, "csv", tmp_path / "csv")
    assert (tmp_path / "csv" / "completions.csv").read_bytes() == s3.get(f"{folder.bucket}/out/completions.csv")
    assert app.export(folder.address, "csv", None) == [f"{folder.address}/completions.csv", f"{folder.address}/errors.csv"]
    written = app.export_requests(folder.address, f"s3://{folder.bucket}/requests")
    assert [s3.get(str(path).removeprefix("s3://")).count(b"custom_id") for path in written.paths] == [2]
    assert report(folder.address) == f"{folder.address}/report.html"
    assert b"</html>" in s3.get(f"{folder.at}/report.html")


def test_scores_are_kept_on_the_store(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are made once: another machine finds them on the store."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=30)
        folder.job.write_text(folder.job.read_text() + '\n[[score]]\nname = "named"\nkind = "contains"\nexpected = "{{ text }}"\n')
        folder.here()
    assert evaluate(open_scored(folder.address)).fresh == ("named",)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert evaluate(open_scored(folder.address)).fresh == ()
    shown = folder.run("score", folder.address)
    assert f"nothing had changed; in {folder.address}/scores" in shown.stderr


def test_fresh_moves_what_was_paid_for_aside(s3: S3Server, tmp_path: Path) -> None:
    """--fresh deletes nothing: the earlier run is under old/, and the new one is whole."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=10)
        folder.here()
        before = set(s3.names(folder.at)) - {"run.lock"}
        assert folder.here(fresh=True).exit_code == 0
        assert set(endpoint.counts().values()) == {2}
    moved = {name.split("/", 2)[2] for name in s3.names(folder.at) if name.startswith("old/")}
    assert moved == before
    assert app.verify(folder.address).complete


def test_damage_is_named_by_its_address_and_salvaged(s3: S3Server, tmp_path: Path) -> None:
    """Promise 3: an object that is not as it was written is refused by its address; salvage keeps every whole record."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=10)
        folder.here()
        (name,) = folder.segments()
        content = s3.get(f"{folder.at}/{name}")
        # An object on a store is never torn by a crash: also damage at its end is damage.
        s3.put(f"{folder.at}/{name}", content[:-30])
        with pytest.raises(DamagedError, match=f"{folder.address}/{name}: damaged at byte"):
            folder.here()
        (said,) = app.salvage(folder.address)
        assert said.startswith(f"{folder.address}/{name}: 9 records kept")
        assert said.endswith(f"the damaged file is {folder.address}/{name}.damaged")
        assert s3.get(f"{folder.at}/{name}.damaged") == content[:-30]
        folder.here()
        assert sum(endpoint.counts().values()) == 11
    assert len(folder.records()) == 10


def test_a_missing_object_is_named(s3: S3Server, tmp_path: Path) -> None:
    """Promise 3: a segment that somebody deleted is missed, not skipped; salvage says so, and the rows are sent again."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=150, flush_interval_s=0.1)
        folder.here()
        first = folder.segments()[0]
        s3.system().delete_file(f"{folder.at}/{first}")
        parent, _, file = first.rpartition("/")
        name = parsed_name(file)
        assert name is not None
        # A merged object is missed by the first of those that it stands for.
        missing = [f"{parent}/{each.stem}.jsonl" for each in name.merged_from or [name]]
        with pytest.raises(DamagedError, match=f"{missing[0]}: damaged at byte 0: this file of the journal is missing"):
            app.status(folder.address)
        assert app.salvage(folder.address) == [f"{folder.address}/{each}: was missing; its rows will be sent again" for each in missing]
        assert folder.here().exit_code == 0
    assert len(folder.records()) == 150


def test_an_object_of_somebody_else_stops_the_run_and_it_goes_on(s3: S3Server, tmp_path: Path) -> None:
    """Promise 10: where another runner has put an object, nothing is overwritten: exit 5, what was put stays, the same command goes on."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=200)
        taken = f"{folder.at}/journal/house--test-model/000001-000002.jsonl"

        def intrude(received: Received) -> Iterable[Action]:
            if len(endpoint.requests) == 20:
                s3.put(taken, b"another runner's")
            return slow(received)

        endpoint.handler = intrude
        stopped = folder.here()
        assert stopped.exit_code == 5
        assert "another runner writes to this run" in (stopped.reason or "")
        assert "are kept in" in (stopped.reason or "")
        assert s3.get(taken) == b"another runner's"
        s3.system().delete_file(taken)
        assert folder.here().exit_code == 0
    assert sorted(record.id for record in folder.records()) == sorted(row["id"] for row in folder.rows)
    assert app.verify(folder.address).sound


def test_who_lost_the_lock_puts_nothing_more(s3: S3Server, tmp_path: Path) -> None:
    """Promise 10: when another runner has taken the lock, this one ends with exit 5 at its next flush; what it had put stays."""
    with ScriptedEndpoint(slow) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=20_000)
        folder.run_until_robbed(endpoint)
    assert b'"far"' in s3.get(f"{folder.at}/run.lock")
    assert all(record.ok for record in folder.records())


def test_two_runners_do_not_share_a_directory(s3: S3Server, tmp_path: Path) -> None:
    """Promise 10, as far as a store allows: who comes while the holder renews his lock is refused, and told who it is."""
    address = f"s3://{s3.bucket()}/run"
    notices: list[str] = []
    refused = pytest.raises(LockedError, match=f"run.lock is in use by pid {os.getpid()} on host")
    with open_run_directory(address).lock(), refused, open_run_directory(address).lock(notices.append):
        pass
    assert "waiting up to 20 s to see" in notices[0]
    with open_run_directory(address).lock(notices.append):
        assert len(notices) == 1


@pytest.mark.parametrize(
    ("place", "says"), [("s3://no-such-bucket/run", "there is no bucket no-such-bucket"), ("s3://@x/run", "must hold no key")]
)
def test_a_run_directory_that_cannot_be_is_explained(s3: S3Server, tmp_path: Path, place: str, says: str) -> None:
    """Before anything is sent, the text says what is wrong with the address."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        with pytest.raises(PromptmillError, match=says):
            app.run(load(folder.job, [f"output.dir={place}"], {}), app.RunOptions(), [])
        assert endpoint.counts() == {}


def test_an_address_made_into_a_path_is_refused() -> None:
    """Paths make s3:/b of s3://b: that must not become a folder here."""
    with pytest.raises(RunDirectoryError, match="must be given as text"):
        app.status(Path("s3://bucket/run"))
    assert not Path("s3:").exists()


def test_failed_attempts_are_seen_from_another_machine(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept for watching is put on the store at the session's end, and fetched where there is no copy of it."""
    tries = Tries()

    def once(received: Received) -> Iterable[Action]:
        if tries.of(received) == 1:
            return [error(503, "not yet", {"x-request-id": f"req-{received.number}", "retry-after": "0.01"})]
        return answer(received)

    with ScriptedEndpoint(for_rows(once)) as endpoint:
        job = StoreJob(tmp_path, endpoint.url, s3, rows=3)
        assert job.here().exit_code == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    shown = show(job.address, "r1")
    assert shown is not None
    assert [attempt.status for attempt in shown.tasks[0].attempts] == [503]
    assert timeline_of(open_run(job.address))["attempts"].keys() >= {"ok"}
