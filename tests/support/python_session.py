"""What a program does with `batch`, in one process: runs twice, in threads, in an event loop, in a stream, with a function as prompt.

`python python_session.py URL FOLDER`; it needs no package but promptmill. Prints "done" when all was right.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import batch


def main(url: str, folder: Path) -> None:
    """Do all of it."""
    rows = [{"id": f"r{number}", "text": f"question {number}"} for number in range(20)]

    def job(name: str, **tables: Any) -> dict[str, Any]:
        return {
            "input": {"id": "id"},
            "prompt": {"user": "{{ text }}"},
            "provider": {"house": {"base_url": url}},
            "model": [{"id": "house/test-model"}],
            "output": {"dir": str(folder / name)},
            **tables,
        }

    first, again = batch.run(job("twice"), rows=rows), batch.run(job("twice"), rows=rows)
    assert (first.tallies["house/test-model"].ok, again.tallies["house/test-model"].requests) == (20, 0)
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda number: batch.run(job(f"thread-{number}"), rows=rows), range(3)))
    assert [each.exit_code for each in ended] == [0, 0, 0]
    assert batch.run(job("function", prompt=lambda row: f"{row['text']}!"), rows=rows).completions().num_rows == 20

    async def beside(label: str) -> None:
        # Where a loop is running, as in a notebook's cell, `run` blocks it; `arun` and `stream` do not.
        assert batch.run(job(f"{label}-loop"), rows=rows).exit_code == 0
        assert [each.exit_code for each in await asyncio.gather(*(batch.arun(job(f"{label}-{n}"), rows=rows) for n in range(2)))] == [0, 0]
        async with batch.stream(job(f"{label}-stream"), rows=rows) as outcomes:
            assert len([each async for each in outcomes if each.ok]) == 20

    asyncio.run(beside("first"))
    asyncio.run(beside("second"))
    # The same from a thread with a loop of its own.
    thread = threading.Thread(target=lambda: asyncio.run(beside("thread")))
    thread.start()
    thread.join()
    assert batch.run(job("last"), rows=rows).exit_code == 0
    print("done")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(sys.argv[1], Path(sys.argv[2]))
