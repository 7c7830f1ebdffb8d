"""`python -m tests.simulation_batches --seed N` replays one history of a run by batches, with its trace."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.simulation.__main__ import fast_folder
from tests.simulation_batches.history import play

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation_batches", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=fast_folder()) as folder:
        play(seed, Path(folder), trace=print)
    print(f"seed {seed}: every promise held")
