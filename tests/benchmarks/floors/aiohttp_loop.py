"""A bare aiohttp loop over the same rows: what a program of thirty lines gets. Bodies are read and dropped."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import aiohttp


def bodies(path: Path) -> list[bytes]:
    """A request body for each row."""
    lines = path.read_bytes().splitlines()
    prompts = [f"What is the capital of {json.loads(line)['country']}?" for line in lines]
    return [json.dumps({"model": "m", "messages": [{"role": "user", "content": p}], "temperature": 0}).encode() for p in prompts]


async def send_all(options: Namespace) -> None:
    """All rows, `connections` at a time."""
    remaining = iter(bodies(Path(options.rows)))
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def worker() -> None:
            for body in remaining:
                async with session.post(f"{options.url}/chat/completions", data=body) as reply:
                    if reply.status != 200 or not await reply.read():
                        sys.exit(f"the endpoint answered {reply.status}")

        await asyncio.gather(*(worker() for _ in range(options.connections)))


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--connections", type=int, required=True)
    asyncio.run(send_all(parser.parse_args()))
