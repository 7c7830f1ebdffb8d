"""The writer of a journal on an object store: flushes, retries, refusals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch.errors import DamagedError, StorageError
from batch.journal import object_writer
from batch.journal.leased import LeasedObjectJournal, earlier_segments
from batch.journal.lines import encode
from batch.journal.object_writer import ObjectJournal
from batch.journal.salvage import salvage_journal
from batch.journal.segment_name import SegmentName, parsed_name
from batch.journal.segments import segment_names, segments
from batch.storage.store_errors import StoreError
from tests.support.scripted import PATIENCE_S
from tests.support.stores import outcome


class Shelf:
    """Keeps what is put; refuses as often as `refusals` has errors."""

    def __init__(self, *refusals: Exception | None) -> None:
        self.objects: dict[str, bytes] = {}
        self.refusals = list(refusals)

    def put(self, name: str, data: bytes) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        assert name not in self.objects
        self.objects[name] = data


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow without a wait."""
    monkeypatch.setattr(object_writer, "FIRST_WAIT_S", 0.0)


def journal_on(shelf: Shelf, interval: float = 5.0, **options: Any) -> ObjectJournal:
    """A journal of the third session."""
    return ObjectJournal(SegmentName(3, part=1), shelf.put, interval, **options)


async def test_each_sync_puts_one_object_of_what_came() -> None:
    """Objects are numbered without gaps, hold whole records, and none is put for nothing."""
    shelf = Shelf()
    journal = journal_on(shelf)
    journal.append(b"a\n")
    journal.append(b"b\n")
    assert await journal.sync() == 2
    assert await journal.sync() == 2
    journal.append(b"c\n")
    assert await journal.sync() == 3
    assert shelf.objects == {"000003-000001.jsonl": b"a\nb\n", "000003-000002.jsonl": b"c\n"}


async def test_a_put_that_fails_is_tried_again_under_the_same_name() -> None:
    """A store that stumbles loses nothing, and leaves no gap."""
    shelf = Shelf(StoreError("slow down"), StoreError("slow down"))
    journal = journal_on(shelf)
    journal.append(b"a\n")
    assert await journal.sync() == 1
    assert list(shelf.objects) == ["000003-000001.jsonl"]


@pytest.mark.parametrize("refusals", [[StoreError("gone", lasting=True)], [StoreError("slow down")] * 5])
async def test_a_store_that_refuses_ends_the_journal(refusals: list[Exception]) -> None:
    """Promise 2: what was not put is never called durable, nothing more is taken, and the text says what is lost."""
    shelf = Shelf(None, *refusals)
    journal = journal_on(shelf, patience_s=0.0)
    journal.append(b"a\n")
    assert await journal.sync() == 1
    journal.append(b"b\n")
    journal.append(b"c\n")
    with pytest.raises(StorageError, match="2 answers that were not stored yet are lost, and their rows will be sent again"):
        await journal.sync()
    with pytest.raises(StorageError):
        journal.append(b"d\n")
    with pytest.raises(StorageError):
        await journal.sync()
    assert list(shelf.objects) == ["000003-000001.jsonl"]


async def test_a_lasting_refusal_is_not_tried_again() -> None:
    """No rights today are no rights in a second."""
    shelf = Shelf(StoreError("denied", lasting=True), None)
    journal = journal_on(shelf)
    journal.append(b"a\n")
    with pytest.raises(StorageError):
        await journal.sync()
    assert shelf.refusals == [None]


async def test_callers_share_an_object_and_the_loop_goes_on() -> None:
    """Many tasks that wait for durability cost one object each flush, and appending goes on meanwhile."""
    shelf = Shelf()
    journal = journal_on(shelf)
    durable: list[int] = []

    async def record(number: int) -> None:
        journal.append(f"{number}\n".encode())
        durable.append(await journal.sync())

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(record, number)
    assert max(durable) == 200
    assert len(shelf.objects) <= 3
    assert b"".join(shelf.objects[name] for name in sorted(shelf.objects)) == b"".join(f"{n}\n".encode() for n in range(200))


async def test_a_cancelled_sync_still_knows_what_was_put() -> None:
    """An object on its way decides the next one's name, so cancelling waits for it."""
    shelf = Shelf()
    journal = journal_on(shelf)
    journal.append(b"a\n")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.sync()
    journal.append(b"b\n")
    assert await journal.sync() == 2
    assert b"".join(shelf.objects.values()) == b"a\nb\n"


def test_a_flush_is_due_by_age_or_by_size() -> None:
    """Few large objects, not millions of small ones; and not more in memory than stated."""
    journal = journal_on(Shelf(), interval=1000.0)
    assert not journal.is_due
    journal.append(b"a\n")
    assert not journal.is_due
    journal.append(bytes(object_writer.FLUSH_BYTES))
    assert journal.is_due
    assert not journal.is_behind
    journal.append(bytes(object_writer.MAX_PENDING_BYTES))
    assert journal.is_behind
    soon = journal_on(Shelf(), interval=0.0)
    soon.append(b"a\n")
    assert soon.is_due


def write(folder: Path, *names: str) -> None:
    """Segments with a record each."""
    for name in names:
        (folder / f"{name}.jsonl").write_bytes(encode(outcome(1)))


def test_sessions_and_flushes_are_read_in_their_order(tmp_path: Path) -> None:
    """Numbers first, then shards and their generations, then flushes: the newest outcome is the last. None may be torn."""
    names = ["000001", "000002-000001", "000002-000002", "000003-00001-001-000001", "000003-00001-002-000001", "000004-000001"]
    write(tmp_path, *reversed(names))
    assert [name.stem for name in segment_names(tmp_path)] == names
    assert [segment.path.stem for segment in segments(tmp_path) if segment.may_be_torn] == ["000001"]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["000001-000002"], "000001-000001"),
        (["000001-000001", "000001-000003"], "000001-000002"),
        (["000001-000001", "000003-000001"], "000002"),
        (["000001-000001", "000002-000002"], "000002-000001"),
        (["000001-00004-001-000001", "000001-00004-001-000003"], "000001-00004-001-000002"),
    ],
)
def test_a_flush_that_is_missing_is_named(tmp_path: Path, there: list[str], missing: str) -> None:
    """Promise 3: no object of a journal can disappear unseen, but for the last ones."""
    write(tmp_path, *there)
    with pytest.raises(DamagedError, match=f"/{missing}.jsonl: .*is missing"):
        segment_names(tmp_path)


def test_a_seal_of_objects_names_the_last_that_counts(tmp_path: Path) -> None:
    """Fencing: of a lease that has passed on the objects up to the sealed number count whole, later ones not at all."""
    write(tmp_path, "000001", *(f"000001-00004-001-{part:06d}" for part in (1, 2, 3)), "000001-00004-002-000001")
    (tmp_path / "000001-00004-001.sealed").write_bytes(b'{"last":2}')
    size = len(encode(outcome(1)))
    assert [segment.end() for segment in segments(tmp_path)] == [size, size, size, 0, size]
    assert [segment.end() for segment in segments(tmp_path, SegmentName(1, 4))] == [size, size, 0, size]
    assert len(earlier_segments(tmp_path, SegmentName(1, 4, 2))) == 3
    assert segments(tmp_path, SegmentName(1, 5)) == []


def test_a_sealed_object_that_is_missing_is_named_and_salvaged(tmp_path: Path) -> None:
    """Promise 3: the seal tells that the last objects of a lease are gone; salvage says so, and the journal can be read again."""
    write(tmp_path, "000001", "000001-00004-001-000001")
    (tmp_path / "000001-00004-001.sealed").write_bytes(b'{"last":3}')
    with pytest.raises(DamagedError, match=r"000001-00004-001-000002.jsonl: .*is missing"):
        segments(tmp_path)
    assert [salvaged.path.stem[-6:] for salvaged in salvage_journal(tmp_path)] == ["000002", "000003"]
    assert len(segments(tmp_path)) == 4


def test_a_seal_that_cannot_be_read_is_not_salvaged(tmp_path: Path) -> None:
    """Nobody knows what of such a lease counts: it is refused, by name, and nothing is made up."""
    write(tmp_path, "000001", "000001-00004-001-000001")
    (tmp_path / "000001-00004-001.sealed").write_bytes(b"{")
    with pytest.raises(DamagedError, match=r"000001-00004-001.sealed: .*seal"):
        salvage_journal(tmp_path)


@pytest.mark.parametrize("stem", ["000001-1000000", "000001-100000-001", "000001-100000-001-02", "000001-100000-001-1000000"])
def test_numbers_may_outgrow_their_width(tmp_path: Path, stem: str) -> None:
    """Promise 1: after a million flushes, or shards, no file is passed over."""
    write(tmp_path, stem)
    (name,) = [parsed_name(path.name) for path in tmp_path.iterdir()]
    assert name is not None
    assert name.stem == stem


async def test_a_lease_tells_what_it_holds() -> None:
    """Promise 2: what waits for its flush, and what is on its way, is told as held until the object is on the store."""
    seen: list[tuple[int, bool, tuple[int, int], int]] = []
    shelf = Shelf()

    def put(name: str, data: bytes) -> None:
        seen.append((journal.pending.counts.ok, journal.is_durable, journal.appended_bytes, journal.pending_bytes))
        shelf.put(name, data)

    journal = LeasedObjectJournal(SegmentName(3, 1, 2), put, 5.0)
    for ordinal in (1, 2):
        journal.append(encode(outcome(ordinal)))
        journal.unflushed.counts.ok += 1
        journal.unflushed.dollars += 0.5
        assert (journal.pending.counts.ok, journal.pending.dollars) == (ordinal, 0.5 * ordinal)
    assert await journal.sync() == 2
    assert seen == [(2, False, (1, 0), sum(map(len, shelf.objects.values())))]
    assert journal.pending_bytes == 0
    assert (journal.pending.counts.ok, journal.pending.dollars, journal.durable, journal.appended_bytes) == (0, 0.0, 2, (2, 0))
    assert list(shelf.objects) == ["000003-00001-002-000001.jsonl"]


async def test_what_a_store_refused_stays_held() -> None:
    """Promise 2: an object that could not be put is not durable, and what was in it is told as held to the end."""
    journal = LeasedObjectJournal(SegmentName(3, 1, 2), Shelf(StoreError("gone", lasting=True)).put, 5.0)
    journal.append(b"a\n")
    journal.unflushed.counts.ok += 1
    with pytest.raises(StorageError):
        await journal.sync()
    assert (journal.pending.counts.ok, journal.durable, journal.is_durable) == (1, 0, False)


class Hanging:
    """A store that answers nothing until `answer` is set, and refuses while `refuses` is."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        self.refuses = refuses
        self.objects: dict[str, bytes] = {}
        if refuses:
            self.answer.set()

    def put(self, name: str, data: bytes) -> None:
        self.asked.set()
        assert self.answer.wait(PATIENCE_S)
        if self.refuses:
            raise StoreError("the store cannot be reached")
        self.objects[name] = data


def kept_in(folder: Path) -> Callable[[str, bytes], Path]:
    """Keeps what could not be put in a folder."""

    def keep(stem: str, data: bytes) -> Path:
        path = folder / f"{stem}.kept"
        path.write_bytes(data)
        return path

    return keep


@pytest.mark.parametrize("refusals", [[StoreError("gone", lasting=True)], [StoreError("slow down")] * 9, [OSError(5, "odd")] * 9])
async def test_what_cannot_be_put_is_kept_on_this_machine(tmp_path: Path, refusals: list[Exception]) -> None:
    """Promise 4: paid answers that a store does not take are in a file, and the error says where."""
    journal = journal_on(Shelf(*refusals), keep=kept_in(tmp_path), patience_s=0.0)
    journal.append(b"a\n", b"b\n")
    with pytest.raises(StorageError, match=r"2 answers that were not stored yet are kept in \S+/000003-000001.kept on "):
        await journal.sync()
    assert (tmp_path / "000003-000001.kept").read_bytes() == b"a\nb\n"


async def test_answers_that_came_meanwhile_are_kept_too(tmp_path: Path) -> None:
    """Promise 4: what was appended while the put was on its way is in the file with the rest."""
    store = Hanging()
    store.refuses = True
    journal = ObjectJournal(SegmentName(3, part=1), store.put, 5.0, kept_in(tmp_path), patience_s=0.0)
    journal.append(b"a\n")

    async def refused() -> None:
        with pytest.raises(StorageError, match=r"2 answers .* are kept in"):
            await journal.sync()

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(refused)
        await anyio.to_thread.run_sync(store.asked.wait)
        journal.append(b"b\n")
        store.answer.set()
    assert (tmp_path / "000003-000001.kept").read_bytes() == b"a\nb\n"


async def test_answers_that_come_while_the_file_is_written_are_kept_too(tmp_path: Path) -> None:
    """Promise 4: the file is written in a thread; what comes in that time goes into a further one, and nothing is taken after."""
    begun, written = threading.Event(), threading.Event()
    files: list[bytes] = []

    def keep(stem: str, data: bytes) -> Path:
        begun.set()
        assert written.wait(60)
        files.append(data)
        return tmp_path / f"{stem}-{len(files)}"

    journal = journal_on(Shelf(StoreError("gone", lasting=True)), keep=keep)
    journal.append(b"a\n")

    async def refused() -> None:
        with pytest.raises(StorageError, match=r"2 answers .* are kept in \S+-000001-1 and \S+-000001-2 on "):
            await journal.sync()

    async with anyio.create_task_group() as group:
        group.start_soon(refused)
        await anyio.to_thread.run_sync(begun.wait)
        journal.append(b"b\n")
        written.set()
    assert files == [b"a\n", b"b\n"]
    with pytest.raises(StorageError, match="gone"):
        journal.append(b"c\n")


async def test_where_this_machine_refuses_too_the_loss_is_said(tmp_path: Path) -> None:
    """Promise 4: nothing is called kept that is not: a full disk here as well is named beside the store's refusal."""
    journal = journal_on(Shelf(StoreError("gone", lasting=True)), keep=kept_in(tmp_path / "missing"))
    journal.append(b"a\n")
    with pytest.raises(StorageError, match=r"gone; 1 answers .* are lost.*could not be kept on this machine either"):
        await journal.sync()


async def test_nothing_more_is_sent_while_the_store_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 8: a put that hangs pauses sending long before the memory is full; when it ends, sending continues."""
    monkeypatch.setattr(object_writer, "HUNG_S", 0.0)
    store = Hanging()
    journal = ObjectJournal(SegmentName(3, part=1), store.put, 5.0)
    assert not journal.is_behind
    journal.append(b"a\n")
    async with anyio.create_task_group() as group:
        group.start_soon(journal.sync)
        await anyio.to_thread.run_sync(store.asked.wait)
        journal.append(b"b\n")
        assert journal.is_behind
        store.answer.set()
    assert not journal.is_behind
    assert await journal.sync() == 2
    assert list(store.objects.values()) == [b"a\n", b"b\n"]


async def test_nothing_more_is_sent_while_the_store_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 8: from the first refusal on until the store takes the object, sending pauses."""
    seen: list[bool] = []
    shelf = Shelf(*[StoreError("the store cannot be reached")] * 30)

    def put(name: str, data: bytes) -> None:
        seen.append(journal.is_behind)
        shelf.put(name, data)

    journal = ObjectJournal(SegmentName(3, part=1), put, 5.0)
    journal.append(b"a\n")
    assert await journal.sync() == 1
    assert seen == [False] + [True] * 30
    assert not journal.is_behind
    assert shelf.objects == {"000003-000001.jsonl": b"a\n"}


@pytest.mark.parametrize("leased", [False, True])
async def test_a_cancelled_sync_of_a_failing_store_loses_nothing(monkeypatch: pytest.MonkeyPatch, leased: bool) -> None:
    """Promise 2: what a cancelled sync was putting waits in memory for the next one, in its order, and is not called durable."""
    monkeypatch.setattr(object_writer, "FIRST_WAIT_S", 3600.0)
    store = Hanging(refuses=True)
    kind = LeasedObjectJournal if leased else ObjectJournal
    journal = kind(SegmentName(3, 0, 1) if leased else SegmentName(3, part=1), store.put, 5.0)
    journal.append(b"a\n")
    if isinstance(journal, LeasedObjectJournal):
        journal.unflushed.counts.ok += 1
    async with anyio.create_task_group() as group:
        group.start_soon(journal.sync)
        await anyio.to_thread.run_sync(store.asked.wait)
        journal.append(b"b\n")
        group.cancel_scope.cancel()
    assert journal.durable == 0
    if isinstance(journal, LeasedObjectJournal):
        assert (journal.pending.counts.ok, journal.pending_bytes) == (1, 4)
    store.refuses = False
    monkeypatch.setattr(object_writer, "FIRST_WAIT_S", 0.0)
    assert await journal.sync() == 2
    assert list(store.objects.values()) == [b"a\nb\n"]


async def test_the_end_of_a_run_is_not_held_up_by_a_failing_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 7: once the run ends, which cancels its syncs, the last sync has a shorter time, and keeps the answers here after it."""
    monkeypatch.setattr(object_writer, "FIRST_WAIT_S", 3600.0)
    monkeypatch.setattr(object_writer, "ENDING_PATIENCE_S", 0.0)
    store = Hanging(refuses=True)
    journal = ObjectJournal(SegmentName(3, part=1), store.put, 5.0, kept_in(tmp_path))
    journal.append(b"a\n")
    async with anyio.create_task_group() as group:
        group.start_soon(journal.sync)
        await anyio.to_thread.run_sync(store.asked.wait)
        group.cancel_scope.cancel()
    with pytest.raises(StorageError, match="kept in"):
        await journal.sync()
    assert (tmp_path / "000003-000001.kept").read_bytes() == b"a\n"


async def test_a_put_that_breaks_loses_nothing() -> None:
    """Promise 2: an exception that no store should raise leaves the records in memory, and they are not called durable later."""
    shelf = Shelf(MemoryError())
    journal = journal_on(shelf)
    journal.append(b"a\n")
    with pytest.raises(MemoryError):
        await journal.sync()
    assert (journal.durable, shelf.objects) == (0, {})
    journal.append(b"b\n")
    assert await journal.sync() == 2
    assert list(shelf.objects.values()) == [b"a\nb\n"]
