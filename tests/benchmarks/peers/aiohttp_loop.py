"""A loop of one's own: aiohttp, a bounded set of tasks, each answer appended to a file as JSON. What one writes in an afternoon.

It keeps its results, but syncs nothing, cannot resume after a stop, does not look at the status, and knows no rates.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from common import KEY, MODEL, options, prompt, read_rows


def append_to_jsonl(data: Any, path: str) -> None:
    """One more line."""
    with Path(path).open("a") as file:
        file.write(json.dumps(data) + "\n")


async def call(session: aiohttp.ClientSession, url: str, request: dict[str, Any], path: str, attempts: int = 5) -> None:
    """One request, tried again when it fails."""
    for _ in range(attempts):
        try:
            async with session.post(url, headers={"Authorization": f"Bearer {KEY}"}, json=request) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            continue
        if "error" not in answer:
            append_to_jsonl([request, answer], path)
            return
    append_to_jsonl([request, "failed"], path)


async def main() -> None:
    """All rows."""
    chosen = options()
    url, in_flight = f"{chosen.url}/chat/completions", set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for row in read_rows(chosen.rows):
            if len(in_flight) >= chosen.connections:
                _, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
            request = {"model": MODEL, "messages": [{"role": "user", "content": prompt(row)}], "temperature": 0}
            in_flight.add(asyncio.create_task(call(session, url, request, chosen.out)))
        await asyncio.gather(*in_flight)


asyncio.run(main())
