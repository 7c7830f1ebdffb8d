"""The end of a process whose HTTP engine has threads of its own."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress


def end_process(code: int) -> None:
    """End this process with `code`: as usual, or at once where the HTTP engine's threads may still want the interpreter.

    pyreqwest's threads drop what they hold of Python after their client was closed. When one of them does so while CPython 3.11 takes
    itself apart, the process aborts with signal 6 ("PyGILState_Release: thread state must be current"): seen in 8 % of the runs of
    `promptmill models` on a busy machine. So everything is run and flushed that the interpreter would run and flush, and no more.
    Raises SystemExit where the engine was not loaded.
    """
    if "pyreqwest" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 - what multiprocessing's children do too, which end as abruptly
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):  # the reader is gone: the code has told it
            stream.flush()
    os._exit(code)
