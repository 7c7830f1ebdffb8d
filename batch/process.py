"""Set up a process that sends, and those that it starts."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

# New objects between two collections of the youngest generation, and collections between those of the older ones.
# Rows, requests and outcomes hold no cycles: reference counts free them. By default the collector searches them for cycles every 700
# objects, a sixth of the time that it takes to write outputs, and at times all that was ever imported, a stop of 50 ms.
COLLECTED_EVERY = (20_000, 20, 100)


def tune_gc() -> None:
    """Let Python collect cycles seldom, and not at all while the process ends."""
    gc.set_threshold(*COLLECTED_EVERY)
    # An interpreter that ends searches all that was ever imported for cycles: a fifth of the time of a run of ten rows.
    atexit.register(gc.freeze)


# glibc's mallopt: parameter, value. By default blocks below a bound that grows to 32 MB come from heaps, which keep what is free below
# what is not.
_MAPPED_FROM, _KEPT_FREE = (-3, 1 << 20), (-1, 1 << 20)


def tune_malloc() -> None:
    """Let the C library, and Arrow with it, give memory back when it is free; only glibc can be configured.

    For whole processes of ours only, before pyarrow is loaded: its own pool would keep a tenth of what writing Parquet takes.
    """
    import ctypes

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        for option in (_MAPPED_FROM, _KEPT_FREE):
            set_option(*option)


# prctl(2), Linux.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Let the kernel kill this process with the thread that started it, where it is Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def child_environment() -> dict[str, str]:
    """Return the environment for `python -P -m batch.…`: with both, a folder of the user's that is also named batch is not imported."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def has_uvloop() -> bool:
    """Whether uvloop is installed."""
    return find_spec("uvloop") is not None


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
