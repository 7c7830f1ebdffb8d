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


def main(args: Sequence[str] | None = None) -> None:
    """Run the `promptmill` command, and end the process with its exit code."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        # KeyboardInterrupt within an import may come out as any other error, or not at all: the import is let end first.
        interrupts.append(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends an import that hangs

    # Where the parent ignores Ctrl-C for this process (nohup, a shell's background job), it stays ignored.
    guarded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if guarded:
        signal.signal(signal.SIGINT, note)
    from batch.cli.group import run_command_line

    if guarded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupts:
        with suppress(OSError):
            os.write(2, b"promptmill: interrupted\n")
        sys.exit(_INTERRUPTED)
    run_command_line(args)
