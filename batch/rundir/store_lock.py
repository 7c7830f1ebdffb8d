"""Who runs in a run directory on an object store: `run.lock` is an object that its holder renews.

No store that pyarrow knows can be asked to write only where nothing is, so this lock is advisory. It rests on three things: a holder
renews it every `beat_s` and is taken for dead when it was not renewed for `dead_s`, by the clock of the one who looks (who looks for so
long; clocks of two machines are never compared); who takes it reads it back after a moment; and a holder who finds another's name in it,
or could not renew it in time, records nothing more. Two runners who start in the same second are told apart by the reading back, or by
the next renewal at the latest; what both record until then stays whole, since their segments have names of their own.
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

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """The times of the lock, in seconds."""

    beat_s: float = 10.0
    dead_s: float = 60.0
    settle_s: float = 1.0


PULSE = Pulse()


class StoreLock:
    """The lock at `name`, read and written by functions that raise StoreError. Held by one object at a time; a thread renews it."""

    def __init__(self, name: str, read: Callable[[], bytes | None], write: Callable[[bytes], None], pulse: Pulse | None = None) -> None:
        self._name = name
        self._read = read
        self._write = write
        self._pulse = pulse or PULSE
        self._token = secrets.token_hex(8)
        self._mine = {"token": self._token, **_who(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
        self._beats = 0
        self._renewed = 0.0
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, notice: Callable[[str], None]) -> None:
        """Take the lock. A holder who does not say whether he lives is watched for `dead_s` first; `notice` is told.

        Raises:
            LockedError: another runner holds it; the text names him.
            StoreError: the store refuses.
        """
        found = self._read()
        if found is not None and not _is_free(found):
            notice(f"{self._name}: {_told(found)} may still run here; waiting up to {self._pulse.dead_s:.0f} s to see")
            self._watch(found)
        self._put()
        time.sleep(self._pulse.settle_s)
        now = self._read()
        if not self._is_mine(now):
            raise LockedError(f"{self._name} was just taken by {_told(now)}; wait for it, or stop it first")
        self._thread = threading.Thread(target=self._renew, name="promptmill-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """See that the lock is still held, without asking the store. Raises StoreError when it is not, or may not be."""
        if self._lost is not None:
            raise StoreError(self._lost, lasting=True)
        silent = _now() - self._renewed
        if silent > self._pulse.dead_s - self._pulse.beat_s:
            lapsed = f"{self._name} could not be renewed for {silent:.0f} s, so that another runner may have taken it"
            raise StoreError(lapsed, lasting=True)

    def release(self) -> None:
        """Give the lock back, as far as the store allows."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(StoreError):
            if self._lost is None and self._is_mine(self._read()):
                self._put(released=True)

    def _watch(self, found: bytes) -> None:
        deadline = _now() + self._pulse.dead_s
        while _now() < deadline:
            time.sleep(min(self._pulse.beat_s / 4, self._pulse.dead_s))
            now = self._read()
            if now is None or _is_free(now):
                return
            if now != found:
                raise LockedError(f"{self._name} is in use by {_told(now)}; wait for it, or stop it first")

    def _renew(self) -> None:
        wait = self._pulse.beat_s
        while not self._ended.wait(wait):
            try:
                now = self._read()
                if not self._is_mine(now):
                    self._lost = f"{self._name} was taken by {_told(now)}"
                    return
                self._put()
                wait = self._pulse.beat_s
            except StoreError:
                wait = min(_RETRY_S, self._pulse.beat_s)

    def _put(self, *, released: bool = False) -> None:
        began = _now()
        self._beats += 1
        self._write(orjson.dumps({**self._mine, "beat": self._beats, "released": released}) + b"\n")
        self._renewed = began

    def _is_mine(self, content: bytes | None) -> bool:
        return content is not None and _parsed(content).get("token") == self._token


def _now() -> float:
    """Seconds that go on while the machine sleeps, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _who() -> dict[str, Any]:
    """This process, so that others on the same machine can tell whether it lives."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}


def _machine() -> str | None:
    """What tells the boot and the process namespace that pids belong to; None where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_free(content: bytes) -> bool:
    """Whether the holder has given it back, or was a process of this machine that is no more."""
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


def _told(content: bytes | None) -> str:
    holder = _parsed(content or b"")
    try:
        return f"pid {holder['pid']} on host {holder['host']} since {holder['started']}"
    except KeyError:
        return "another runner"
