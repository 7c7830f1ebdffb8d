"""How a command ends: the exit codes, and which error means which.

After 1, 4, 5 and 130 the same command continues where it stopped.
"""

from __future__ import annotations

import errno
import sys
import traceback
from enum import IntEnum

from batch.cli.console import discard, print_error, print_info
from batch.errors import EndpointError, InternalError, JobError, PromptmillError, StorageError
from batch.policy.redaction import SECRETS
from batch.policy.terminal import one_line

# What the operating system says of a disk, in the words of errno(3).
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


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


def code_of(error: PromptmillError | OSError) -> ExitCode:
    """Return STOPPED when the endpoint or the disk refused, UNUSABLE when job, input, directory or set-up must be mended first."""
    if isinstance(error, InternalError):
        return ExitCode.BUG
    stopped = isinstance(error, StorageError | EndpointError) or (isinstance(error, OSError) and error.errno in _STORAGE)
    return ExitCode.STOPPED if stopped else ExitCode.UNUSABLE


def report_error(error: BaseException, *, debug: bool) -> ExitCode:
    """Report on stderr what ended the command, and return its exit code. `debug` adds the traceback."""
    if debug and not isinstance(error, BrokenPipeError):
        print_info(SECRETS.redact("".join(traceback.format_exception(error)).rstrip()))
    if isinstance(error, JobError):
        # One line a mistake: editors and scripts jump to "file:line".
        for problem in error.problems:
            print_error(SECRETS.redact(one_line(str(problem))))
        return code_of(error)
    if isinstance(error, PromptmillError):
        print_error(SECRETS.redact(str(error)))
        return code_of(error)
    if _is_interrupt(error):
        print_info("promptmill: interrupted")
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Silent, as programs are that SIGPIPE ends.
        if sys.stdout is not None:
            discard(sys.stdout)
        return ExitCode.STDOUT_CLOSED
    # What the system refuses is no bug, in whichever library.
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        print_error(SECRETS.redact(f"{where}{error.strerror}"))
        return code_of(error)
    print_error(SECRETS.redact(f"this is a bug in promptmill: {type(error).__name__}: {error}"))
    if not debug:
        print_info("promptmill: for the traceback, run it again as: promptmill --debug …")
    return ExitCode.BUG


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind the error: within an import it comes out as an ImportError or SystemError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
