"""The `promptmill` command under cProfile, which is printed at its end: `python -m tests.benchmarks.profiled LINES WORDS …`.

A program of its own, since promptmill ends its process at once and cProfile's own command would never get to print.
"""

from __future__ import annotations

import atexit
import cProfile
import pstats
import sys

from batch.cli import main

if __name__ == "__main__":
    profile = cProfile.Profile()

    def tell() -> None:
        """Print the profile, by own time."""
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(int(sys.argv[1]))

    atexit.register(tell)
    profile.enable()
    main(sys.argv[2:])
