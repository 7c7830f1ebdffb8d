"""The floor under promptmill: the same rows as prebuilt bodies, straight into the engine that it uses itself; replies read and dropped.

No templates, no checks, no journal, no time-outs, no retries. Run as a script in promptmill's own environment.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import orjson
import uvloop

from batch.settings import ProviderSettings, RunSettings
from batch.transport.engines import open_engine
from batch.transport.targets import target_of


def bodies(path: Path) -> list[bytes]:
    """A request body for each row."""
    prompts = [f"What is the capital of {orjson.loads(line)['country']}?" for line in path.read_bytes().splitlines()]
    return [orjson.dumps({"model": "m", "messages": [{"role": "user", "content": p}], "temperature": 0}) for p in prompts]


async def send_all(options: Namespace) -> None:
    """All rows, `connections` at a time."""
    remaining = iter(bodies(Path(options.rows)))
    provider = ProviderSettings(name="floor", base_url=options.url)
    target = target_of("POST", "chat/completions", provider, None, stream=False)
    async with open_engine(RunSettings(http=options.http), options.connections) as engine:

        async def worker() -> None:
            for body in remaining:
                reply = await engine.send(target, body)
                pieces = []
                while (piece := await reply.read()) is not None:
                    pieces.append(piece)
                await reply.close()
                if reply.status != 200 or not b"".join(pieces):
                    sys.exit(f"the endpoint answered {reply.status}")

        await asyncio.gather(*(worker() for _ in range(options.connections)))


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--http", default="asyncio")
    uvloop.run(send_all(parser.parse_args()))  # as promptmill does
