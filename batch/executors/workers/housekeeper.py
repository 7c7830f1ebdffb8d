"""A worker's process beside it: summarises its finished journals and writes parts of the outputs, while the worker sends.

A process of its own, with less of a claim to the cores: in the worker itself each part would hold up the requests.
"""

from __future__ import annotations

import pickle
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from batch.journal.segment_name import SegmentName
from batch.journal.summary_files import WORTH_BYTES
from batch.results.part_processes import PartsOrder, ask, part_process

# A worker that ends waits this long for the part at hand. It must have its last word before its launcher takes it for hung.
ENDING_S = 8.0


class Housekeeper:
    """Does one thing after the other, summaries first; what fails is left to the end of the run."""

    def __init__(self, order: PartsOrder) -> None:
        self._order = order
        self._changed = threading.Condition()
        self._summaries: deque[bytes] = deque()
        self._parts: deque[int] = deque()
        self._written: list[int] = []
        self._at: int | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    @property
    def is_free(self) -> bool:
        """Whether it can take a part."""
        with self._changed:
            return not self._ended and self._at is None and not self._parts

    def summarize(self, slug: str, lease: SegmentName, files: int) -> None:
        """Make the summaries of the files of a lease, to which nothing is written any more; none of those that are read as fast."""
        folder = Path(self._order.place) / "journal" / slug
        for segment in [lease._replace(roll=number) for number in range(1, files + 1)]:
            # One that cannot be looked at is summarized when it is read.
            with suppress(OSError):
                if segment.path(folder).stat().st_size >= WORTH_BYTES:
                    self._add(partial(self._summaries.append, f"summary {slug} {segment.stem}\n".encode()))

    def write(self, number: int) -> None:
        """Write a part, if all its rows have their outcome."""
        self._add(partial(self._parts.append, number))

    def take_written(self) -> tuple[int, ...]:
        """Return the parts that are done with since the last call, written or not."""
        with self._changed:
            written, self._written = tuple(self._written), []
            return written

    def close(self, patience_s: float = ENDING_S) -> None:
        """End after the summaries and the part at hand, or without them after `patience_s`. Blocks."""
        with self._changed:
            self._ended = True
            self._parts.clear()
            self._changed.notify()
        if self._thread is None:
            return
        self._thread.join(patience_s)
        process = self._process
        if self._thread.is_alive() and process is not None:
            process.kill()
            self._thread.join()

    def _add(self, add: Callable[[], None]) -> None:
        with self._changed:
            if self._ended:
                return
            add()
            if self._thread is None:
                # As long-lived as the worker: the kernel ends a process with the thread that started it.
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        try:
            with part_process(self._order) as process:
                self._process = process
                while (line := self._next()) is not None:
                    ask(process, line)
                    self._finish()
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            # The process has ended: what it would have done is done at the end of the run.
            with self._changed:
                self._ended = True
            self._finish()

    def _next(self) -> bytes | None:
        """Wait for something to do; None at the end."""
        with self._changed:
            while not self._summaries and not self._parts and not self._ended:
                self._changed.wait()
            if self._summaries:
                return self._summaries.popleft()
            if not self._parts:
                return None
            self._at = self._parts.popleft()
            return b"final %d\n" % self._at

    def _finish(self) -> None:
        with self._changed:
            if self._at is None:
                return
            self._written.append(self._at)
            self._at = None
