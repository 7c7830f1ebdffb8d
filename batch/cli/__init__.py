"""The command line: one module a command, loaded when the command is called.

This module loads nothing: an interrupt in the first moments must end in an exit code, not in a traceback out of some import.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


def main(args: Sequence[str] | None = None) -> None:
    """Run the `promptmill` command, and end the process with its exit code."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        # KeyboardInterrupt within an import may come out as any other error, or not at all: the import is let end first.
        noted.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends an import that hangs

    # Where the parent ignores a signal for this process (nohup, a shell's background job), it stays ignored.
    usual = {each: handler for each in _SIGNALS if (handler := signal.getsignal(each)) in _DEFAULTS}
    for each in usual:
        signal.signal(each, note)
    from batch.cli.group import run_command_line

    for each, handler in usual.items():
        signal.signal(each, handler)
    if noted:
        with suppress(OSError):
            os.write(2, b"promptmill: interrupted\n")
        sys.exit(_INTERRUPTED)
    run_command_line(args)
