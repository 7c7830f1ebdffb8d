"""Set up a process that sends, and end it."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec

# New objects between two collections of the youngest generation, and collections between those of the older ones.
# Rows, requests and outcomes hold no cycles: reference counts free them. By default the collector searches them for cycles every 700
# objects, a sixth of the time that it takes to write outputs, and at times all that was ever imported, a stop of 50 ms.
COLLECTED_EVERY = (20_000, 20, 100)


def tune_gc() -> None:
    """Let Python collect cycles seldom."""
    gc.set_threshold(*COLLECTED_EVERY)


# glibc's mallopt: parameter, value. By default each thread (of the HTTP engine, of syncing, of reading) may get a heap of its own, and
# blocks below a bound that grows to 32 MB come from heaps, which keep what is free below what is not.
_HEAPS, _MAPPED_FROM, _KEPT_FREE = (-8, 2), (-3, 1 << 20), (-1, 1 << 20)


def tune_malloc() -> None:
    """Let the C library, and Arrow with it, give memory back when it is free; of the libraries glibc can be told.

    For whole processes of ours only, before pyarrow is loaded: its own pool would keep a tenth of what writing Parquet takes.
    """
    import ctypes

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        for option in (_HEAPS, _MAPPED_FROM, _KEPT_FREE):
            set_option(*option)


def has_uvloop() -> bool:
    """Whether uvloop is installed."""
    return find_spec("uvloop") is not None


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
        with suppress(OSError, ValueError):  # the reader is gone, and the exit code says so
            stream.flush()
    os._exit(code)


def open_missing_descriptors() -> None:
    """Open /dev/null for standard descriptors that are closed: the next file opened would take their place, and output would go into it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does, by KeyboardInterrupt, unless they are ignored (as under `nohup`)."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, signal.default_int_handler)
