"""Answers from a person: single keys on a terminal, lines from a pipe."""

from __future__ import annotations

import os
import re
import sys
import termios
import tty
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager

# Arrow keys and the like: their letters are none that were typed.
_SEQUENCES = re.compile(rb"\x1b(?:\[[0-9;]*[@-~]|O.)?")


class KeyReader:
    """Reads one answer after the other. Open with `keyboard`."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()

    def read(self) -> str | None:
        """The next key, or line, in lower case without space around; None when there are no more."""
        if self._descriptor is None:
            line = "" if sys.stdin is None else sys.stdin.readline()
            return line.strip().lower() if line else None
        # Several keys come in one read when they are typed ahead.
        while not self._waiting:
            typed = os.read(self._descriptor, 64)
            if not typed or typed.startswith(b"\x04"):
                return None
            self._waiting += _SEQUENCES.sub(b"", typed).decode(errors="replace").lower()
        return self._waiting.popleft().strip()


@contextmanager
def keyboard(answers: Collection[str]) -> Iterator[KeyReader]:
    """Keys as they are pressed where stdin is a terminal and all `answers` are single characters; else lines.

    The terminal stays in this mode for the whole time, so that keys which are pressed early are not lost.
    """
    if sys.stdin is None or not sys.stdin.isatty() or any(len(answer) != 1 for answer in answers):
        yield KeyReader(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield KeyReader(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
