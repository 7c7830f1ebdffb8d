"""Count tasks by their newest record, from the names of tasks in the order in which their records were written."""

from __future__ import annotations

from array import array

import numpy as np


def newest_counts(tasks: array[int], oks: array[int]) -> tuple[int, int]:
    """Return how many tasks are ok, and how many failed, by the last record of each. `tasks` are 64-bit names, `oks` 0 or 1."""
    names, states = np.frombuffer(tasks, np.uint64), np.frombuffer(oks, np.uint8)
    # From the end: the first that is found of a name is its newest.
    _, places = np.unique(names[::-1], return_index=True)
    ok = int(states[::-1][places].sum())
    return ok, len(places) - ok
