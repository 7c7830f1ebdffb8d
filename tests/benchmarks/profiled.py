"""The `promptmill` command under cProfile: `python -m tests.benchmarks.profiled LINES|FILE.json WORDS …`.

At its end it prints so many lines by own time, or writes to the file which share of the time each package took.
"""

from __future__ import annotations

import atexit
import cProfile
import json
import pstats
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from batch.cli import main

IMPORTS = "start-up: imports"
ELSEWHERE = "event loop and other libraries"
_IMPORTING = ("<built-in method builtins.exec>", "<built-in method marshal.loads>", "<built-in method builtins.compile>")
_MEANINGS = {
    "transport": "transport: HTTP engine, reading replies",
    "engine": "engine: workers, limits, records",
    "providers": "providers: meaning of replies",
    "policy": "policy: verdicts, rates, costs",
    "journal": "journal: encoding, writing, sync",
    "results": "results: output files",
    "readers": "readers, prompts: rows and requests",
    "prompts": "readers, prompts: rows and requests",
}


def shares(stats: dict[Any, Any]) -> dict[str, float]:
    """Return each package's share of the own time; what a function of another library takes is its caller's."""
    spent: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.items():
        if function[2] in _IMPORTING or "importlib" in function[0]:
            spent[IMPORTS] += own
        elif (package := _package(function[0])) is not None or not callers:
            spent[package or ELSEWHERE] += own
        else:
            for caller, (*_, within, _) in callers.items():
                spent[_package(caller[0]) or ELSEWHERE] += within
    whole = sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.most_common()}


def _package(path: str) -> str | None:
    parts = Path(path).parts
    if "site-packages" in parts or "batch" not in parts or parts.index("batch") + 2 > len(parts):
        return None
    name = parts[parts.index("batch") + 1]
    return _MEANINGS.get(name, "the rest of promptmill")


if __name__ == "__main__":
    profile = cProfile.Profile()

    def report() -> None:
        """Print the profile, or write its shares."""
        profile.disable()
        stats: Any = pstats.Stats(profile)
        if sys.argv[1].endswith(".json"):
            Path(sys.argv[1]).write_text(json.dumps(shares(stats.stats)))
        else:
            stats.sort_stats("tottime").print_stats(int(sys.argv[1]))

    atexit.register(report)
    profile.enable()
    main(sys.argv[2:])
