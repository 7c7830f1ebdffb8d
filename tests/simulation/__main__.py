"""`python -m tests.simulation --histories 10000 [--first N]` plays many; `--seed N` replays one, with its trace."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

from tests.simulation.history import play

SHM = Path("/dev/shm")


def fast_folder() -> str | None:
    """A folder in memory, where there is one; durability is modelled, so nothing is lost by it."""
    return str(SHM) if SHM.is_dir() and os.access(SHM, os.W_OK) else None


def attempt(folder: Path, seed: int) -> tuple[int, Counter[str] | str]:
    """Play one history: what was lived through, or what went wrong, as a text."""
    try:
        return seed, play(seed, folder)
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        return seed, traceback.format_exc(limit=-4)


def main() -> int:
    """Returns the exit code: 0 when every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay this one and print what happens")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=fast_folder()) as folder:
        if options.seed is not None:
            play(options.seed, Path(folder), trace=print)
            print(f"seed {options.seed}: every promise held")
            return 0
        return sweep(options, Path(folder))


def sweep(options: argparse.Namespace, folder: Path) -> int:
    """Many histories, on all cores."""
    begin = time.monotonic()
    number = failed = 0
    lived: Counter[str] = Counter()
    seeds = range(options.first, options.first + options.histories)
    pool = multiprocessing.Pool(options.processes)
    try:
        for number, (seed, found) in enumerate(pool.imap_unordered(partial(attempt, folder), seeds, chunksize=20), 1):
            if isinstance(found, str):
                failed += 1
                print(f"seed {seed} breaks a promise; replay it: python -m tests.simulation --seed {seed}\n{found}", flush=True)
                if failed >= options.failures:
                    break
            else:
                lived += found
            if number % 1000 == 0:
                print(f"{number:,} histories in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    finally:
        pool.terminate()
        pool.join()
    print("lived through: " + ", ".join(f"{count:,} {what}" for what, count in lived.items()))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = f"{time.monotonic() - begin:.1f} s ({used.ru_utime + used.ru_stime:.0f} s of CPU)"
    print(f"{number:,} histories in {took} on {options.processes} processes: {failed} broke a promise")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
