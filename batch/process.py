"""What every process that sends sets up at its start."""

from __future__ import annotations

import atexit
import gc
import os
from contextlib import suppress
from importlib.util import find_spec

# New objects between two looks of Python's collector at the young ones, and how many looks go by until it looks at the older ones.
# Rows, requests and outcomes hold no cycles: they go with their last holder. By default the collector searches them for cycles every
# 700 objects, a sixth of the time that it takes to write outputs, and now and then all that was ever imported, a stop of 50 ms.
COLLECTED_EVERY = (20_000, 20, 100)


def collect_seldom() -> None:
    """Let Python's collector look seldom for cycles, and not at all while the process ends."""
    gc.set_threshold(*COLLECTED_EVERY)
    # An interpreter that ends searches all that was ever imported for cycles: a fifth of the time of a run of ten rows.
    atexit.register(gc.freeze)


# glibc's mallopt: parameter, value. By default blocks below a bound that grows to 32 MB come from heaps, which keep what is free below
# what is not.
_MAPPED_FROM, _KEPT_FREE = (-3, 1 << 20), (-1, 1 << 20)


def keep_little() -> None:
    """Let the C library, and Arrow with it, give memory back when it is free; of the libraries glibc can be told.

    For whole processes of ours only, before pyarrow is loaded: its own pool would keep a tenth of what writing Parquet takes.
    """
    import ctypes

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        for option in (_MAPPED_FROM, _KEPT_FREE):
            set_option(*option)


def has_uvloop() -> bool:
    """Whether uvloop is installed: the faster event loop."""
    return find_spec("uvloop") is not None
