"""How a command ends: the exit codes, and which error means which.

After 1, 4, 5 and 130 the same command goes on where it stopped.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from enum import IntEnum

from batch.cli.console import complain, say
from batch.errors import EndpointError, InternalError, PromptmillError, StorageError
from batch.policy.redaction import SECRETS


class ExitCode(IntEnum):
    """The exit codes. STDOUT_CLOSED is what a shell reports for a program that SIGPIPE ended, BUG is sysexits.h's EX_SOFTWARE."""

    DONE = 0
    FAILED_ROWS = 1
    UNUSABLE = 2
    GATE = 3
    BUDGET = 4
    STOPPED = 5
    BUG = 70
    INTERRUPTED = 130
    STDOUT_CLOSED = 141


def code_of(error: PromptmillError) -> ExitCode:
    """STOPPED when the endpoint or the disk refused, UNUSABLE when the job, its input, its directory or the set-up must be mended first."""
    if isinstance(error, InternalError):
        return ExitCode.BUG
    return ExitCode.STOPPED if isinstance(error, StorageError | EndpointError) else ExitCode.UNUSABLE


def tell(error: BaseException, *, debug: bool) -> ExitCode:
    """Say on stderr what ended the command, and give its exit code. `debug` adds the traceback."""
    if debug and not isinstance(error, BrokenPipeError):
        say(SECRETS.redact("".join(traceback.format_exception(error)).rstrip()))
    if isinstance(error, PromptmillError):
        complain(SECRETS.redact(str(error)))
        return code_of(error)
    if isinstance(error, KeyboardInterrupt):
        say("promptmill: interrupted")
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _hush_stdout()
        return ExitCode.STDOUT_CLOSED
    complain(SECRETS.redact(f"this is a bug in promptmill: {type(error).__name__}: {error}"))
    if not debug:
        say("promptmill: for the traceback, run it again as: promptmill --debug …")
    return ExitCode.BUG


def _hush_stdout() -> None:
    """Let the interpreter's last flush of stdout go nowhere: its reader is gone."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
