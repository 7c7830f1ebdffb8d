"""The advisory lock of a run directory on an object store."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import orjson
import pytest

from batch.errors import LockedError
from batch.rundir import store_lock
from batch.rundir.store_lock import Pulse, StoreLock
from batch.storage.store_errors import StoreError
from tests.support.scripted import PATIENCE_S
from tests.support.scripts import wait_until

QUICK = Pulse(beat_s=0.05, dead_s=30.0, settle_s=0.0)
NEVER = Pulse(beat_s=1000.0, dead_s=0.4, settle_s=0.0)


class Object:
    """An object on a store, shared by locks."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content
        self.written = threading.Event()
        self.refuses = False

    def read(self) -> bytes | None:
        return self.content

    def write(self, data: bytes) -> None:
        if self.refuses:
            raise StoreError("cannot be reached")
        self.content = data
        self.written.set()

    def lock(self, pulse: Pulse = QUICK) -> StoreLock:
        """A runner's lock on it."""
        return StoreLock("s3://b/run: run.lock", self.read, self.write, pulse)


def ignore(_: str) -> None:
    """A notice that nobody reads."""


def holder(**changes: object) -> bytes:
    """A lock as a runner on another machine leaves it."""
    return orjson.dumps({"token": "other", "pid": 7, "host": "far", "machine": "m", "started": "yesterday", "beat": 1, **changes})


def test_a_lock_is_taken_and_given_back() -> None:
    """The next runner need not wait."""
    there = Object()
    first = there.lock()
    first.acquire(ignore)
    first.check()
    first.release()
    told: list[str] = []
    second = there.lock()
    second.acquire(told.append)
    second.release()
    assert told == []


def test_who_renews_keeps_it() -> None:
    """Promise 10: a lock that is renewed while somebody watches is not taken."""
    there = Object()
    first = there.lock()
    first.acquire(ignore)
    with pytest.raises(LockedError, match=f"in use by pid {os.getpid()} on host"):
        there.lock().acquire(ignore)
    first.check()
    first.release()


def test_a_holder_elsewhere_who_died_is_waited_for_and_replaced() -> None:
    """His lock stands still for as long as the watcher watches; no clocks of two machines are compared."""
    there = Object(holder())
    told: list[str] = []
    lock = there.lock(NEVER)
    lock.acquire(told.append)
    assert "pid 7 on host far since yesterday may still run here" in told[0]
    assert orjson.loads(there.content or b"")["pid"] == os.getpid()
    lock.release()


def test_a_dead_process_of_this_machine_is_not_waited_for() -> None:
    """Killed and started again at once: nothing to wait for."""
    program = (
        "from tests.unit.rundir.test_store_lock import Object\n"
        "there = Object()\nthere.lock().acquire(print)\nprint(there.content.decode(), flush=True)\nimport os\nos._exit(0)"
    )
    left = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    there = Object(left.encode())
    told: list[str] = []
    lock = there.lock(Pulse(beat_s=1000.0, dead_s=1000.0, settle_s=0.0))
    lock.acquire(told.append)
    lock.release()
    assert told == []


def test_of_two_who_take_it_at_once_the_first_sees_the_other() -> None:
    """What is read back is another's: the lock is his."""
    there = Object()
    lock = there.lock()
    lock._write = lambda data: there.write(holder())
    with pytest.raises(LockedError, match="was just taken by pid 7 on host far"):
        lock.acquire(ignore)


def test_who_finds_another_in_it_records_nothing_more() -> None:
    """A runner that was suspended for long learns it at its next renewal, and leaves the other's lock as it is."""
    there = Object()
    lock = there.lock()
    lock.acquire(ignore)
    there.content = holder()
    assert lock._thread is not None
    lock._thread.join(PATIENCE_S)
    with pytest.raises(StoreError, match="was taken by pid 7 on host far") as caught:
        lock.check()
    assert caught.value.lasting
    lock.release()
    assert there.content == holder()


@pytest.mark.parametrize("seen", [None, b"", b'{"tok'])
def test_a_lock_that_is_read_while_it_is_written_is_read_again(seen: bytes | None) -> None:
    """Promise 10: a store whose writes are not atomic shows a lock as missing, empty or cut for a moment; that is no other runner."""
    there, odd, renewals = Object(), [seen], threading.Semaphore(0)
    lock = StoreLock("s3://b/run: run.lock", lambda: odd.pop() if odd else there.read(), there.write, QUICK)
    lock.acquire(ignore)
    odd.append(seen)
    lock._write = lambda data: (there.write(data), renewals.release())
    for _ in range(2):
        assert renewals.acquire(timeout=PATIENCE_S)
    lock.check()
    lock.release()


def test_who_cannot_renew_records_nothing_more() -> None:
    """Without the store one cannot know who runs, so nothing is put after the time in which another may take it."""
    there = Object()
    lock = there.lock(Pulse(beat_s=0.05, dead_s=0.2, settle_s=0.0))
    lock.acquire(ignore)
    there.refuses = True

    def is_given_up() -> bool:
        try:
            lock.check()
        except StoreError as error:
            return "could not be renewed for" in str(error)
        return False

    wait_until(is_given_up)
    lock.release()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[1]", b"{}"])
def test_a_lock_that_cannot_be_read_is_waited_for(content: bytes) -> None:
    """It may be somebody's."""
    told: list[str] = []
    lock = Object(content).lock(NEVER)
    lock.acquire(told.append)
    lock.release()
    assert "another runner may still run here" in told[0]


def test_a_store_that_hangs_does_not_hold_up_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 7: the end of a run does not wait for a renewal that gets no reply, and nothing is written over what may be another's."""
    monkeypatch.setattr(store_lock, "_RELEASE_WAIT_S", 0.0)
    there, hangs, resume = Object(), threading.Event(), threading.Event()
    lock = there.lock()

    def hang() -> bytes | None:
        hangs.set()
        assert resume.wait(PATIENCE_S)
        return there.read()

    lock.acquire(ignore)
    lock._read = hang
    assert hangs.wait(PATIENCE_S)
    before = there.content
    lock.release()
    assert there.content == before
    resume.set()
    assert lock._thread is not None
    lock._thread.join(PATIENCE_S)


def test_a_lapsed_lock_is_not_released() -> None:
    """Promise 10: what could not be renewed in time may be another's by now, and is left alone."""
    there = Object()
    lock = there.lock(Pulse(beat_s=1000.0, dead_s=1000.0, settle_s=0.0))
    lock.acquire(ignore)
    before = there.content
    lock._renewed -= 1000.0
    lock.release()
    assert there.content == before
