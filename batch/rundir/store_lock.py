"""The lock of a run directory on an object store: `run.lock` is an object with the name of its holder, which renews it.

The lock is advisory, since pyarrow offers no conditional write. Three rules make it work:
- A holder renews the lock every `beat_s`. A waiting runner takes over after it has seen no renewal for `dead_s` by its own clock;
  clocks of two machines are never compared.
- A runner that has written the lock reads it back after a moment, and is refused if it finds another holder.
- A holder that finds another holder at a renewal, or could not renew in time, records nothing more.

If two runners start in the same second, one of them sees the other when it reads back, or at its next renewal at the latest. Until then
both write segments under names of their own, so that the journal stays whole.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from batch.errors import LockedError
from batch.storage.store_errors import StoreError

# Soon after a failed renewal, since `dead_s` is already running.
_RETRY_S = 1.0
_RELEASE_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """The times of the lock, in seconds."""

    beat_s: float = 10.0
    dead_s: float = 60.0
    settle_s: float = 1.0


PULSE = Pulse()


class StoreLock:
    """The lock at `name`; `read` and `write` raise StoreError. A thread renews the lock until it is released."""

    def __init__(self, name: str, read: Callable[[], bytes | None], write: Callable[[bytes], None], pulse: Pulse | None = None) -> None:
        self._name = name
        self._read = read
        self._write = write
        self._pulse = pulse or PULSE
        self._token = secrets.token_hex(8)
        self._mine = {"token": self._token, **_this_process(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
        self._beats = 0
        self._renewed = 0.0
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, report: Callable[[str], None]) -> None:
        """Take the lock. Without a heartbeat from the current holder, waits `dead_s` before taking over; `report` gets a sentence.

        Raises:
            LockedError: another runner has the lock; the text names its process.
            StoreError: the store refuses.
        """
        found = self._read()
        if found is not None and not _is_free(found):
            report(f"{self._name}: {_holder_of(found)} may still run here; waiting up to {self._pulse.dead_s:.0f} s to see")
            self._watch(found)
        self._put()
        time.sleep(self._pulse.settle_s)
        now = self._look()
        if not self._is_mine(now):
            raise LockedError(f"{self._name} was just taken by {_holder_of(now)}; wait for it, or stop it first")
        # A daemon: a store that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._renew, name="promptmill-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check that this process still has the lock, without a request to the store. Raises StoreError if it has not, or may not have."""
        if self._lost is not None:
            raise StoreError(self._lost, lasting=True)
        silent = _now() - self._renewed
        # One beat before others may take over, so that a write that has begun ends before that.
        if silent > self._pulse.dead_s - self._pulse.beat_s:
            lapsed = f"{self._name} could not be renewed for {silent:.0f} s, so that another runner may have taken it"
            # Not lasting: the thread renews the lock as soon as the store answers, if no other runner has taken it.
            raise StoreError(lapsed)

    def release(self) -> None:
        """Release the lock, as far as the store allows."""
        self._ended.set()
        if self._thread is not None:
            # A store that hangs must not hold up the end of a run: without a renewal, the lock lapses.
            self._thread.join(_RELEASE_WAIT_S)
            if self._thread.is_alive():
                return
        with suppress(StoreError):
            self.check()
            if self._is_mine(self._read()):
                self._put(released=True)

    def _watch(self, found: bytes) -> None:
        deadline = _now() + self._pulse.dead_s
        while _now() < deadline:
            time.sleep(min(self._pulse.beat_s / 4, self._pulse.dead_s))
            now = self._read()
            if now is None or _is_free(now):
                return
            if now != found:
                raise LockedError(f"{self._name} is in use by {_holder_of(now)}; wait for it, or stop it first")

    def _renew(self) -> None:
        wait = self._pulse.beat_s
        while not self._ended.wait(wait):
            try:
                now = self._look()
                if not self._is_mine(now):
                    self._lost = f"{self._name} was taken by {_holder_of(now)}"
                    return
                self._put()
                wait = self._pulse.beat_s
            except StoreError:
                wait = min(_RETRY_S, self._pulse.beat_s)

    def _look(self) -> bytes | None:
        """Read the lock, and once more where it names no holder: a store may give what is being written as missing, or as empty."""
        found = self._read()
        if "token" not in _parsed(found or b""):
            self._ended.wait(self._pulse.settle_s)
            found = self._read()
        return found

    def _put(self, *, released: bool = False) -> None:
        # Taken before the write: other runners may see the renewal as early as that.
        began = _now()
        self._beats += 1
        self._write(orjson.dumps({**self._mine, "beat": self._beats, "released": released}) + b"\n")
        self._renewed = began

    def _is_mine(self, content: bytes | None) -> bool:
        return content is not None and _parsed(content).get("token") == self._token


def _now() -> float:
    """Monotonic seconds that include the time in which the machine sleeps, where the system offers such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _this_process() -> dict[str, Any]:
    """Describe this process, so that others on the same machine can check whether it is alive."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}


def _machine() -> str | None:
    """Identify the boot and the process namespace that pids belong to; None where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_free(content: bytes) -> bool:
    """Whether the holder has released the lock, or was a process of this machine that has ended."""
    holder = _parsed(content)
    if holder.get("released") is True:
        return True
    machine, pid = holder.get("machine"), holder.get("pid")
    if machine is None or machine != _machine() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _holder_of(content: bytes | None) -> str:
    holder = _parsed(content or b"")
    try:
        return f"pid {holder['pid']} on host {holder['host']} since {holder['started']}"
    except KeyError:
        return "another runner"
