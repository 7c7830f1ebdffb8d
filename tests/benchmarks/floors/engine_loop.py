"""The floor under promptmill: the same rows as prebuilt requests, straight into the engine that it uses itself; bodies read and dropped.

No templates, no checks, no journal, no time-outs, no retries. Run as a script in promptmill's own environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import httpx
import orjson

from batch.settings import RunSettings
from batch.transport.engines import open_engine


def requests(options: Namespace) -> list[httpx.Request]:
    """A request for each row, its headers as promptmill's."""
    url = httpx.URL(f"{options.url}/chat/completions")
    common = {"host": url.netloc.decode(), "accept": "application/json", "accept-encoding": "identity", "content-type": "application/json"}
    built = []
    for line in Path(options.rows).read_bytes().splitlines():
        prompt = f"What is the capital of {orjson.loads(line)['country']}?"
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}], "temperature": 0})
        request = httpx.Request("POST", url, headers=common, content=body)
        request.headers.encoding = "utf-8"
        built.append(request)
    return built


async def send_all(options: Namespace) -> None:
    """All rows, `connections` at a time."""
    remaining = iter(requests(options))
    async with open_engine(RunSettings(http=options.http), options.connections) as engine:

        async def worker() -> None:
            for request in remaining:
                reply = await engine.handle_async_request(request)
                body = b"".join([piece async for piece in reply.stream])
                await reply.stream.aclose()
                if reply.status_code != 200 or not body:
                    sys.exit(f"the endpoint answered {reply.status_code}")

        await asyncio.gather(*(worker() for _ in range(options.connections)))


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--http", default="pyreqwest")
    asyncio.run(send_all(parser.parse_args()))
    # Right after a stream, pyreqwest (0.15) aborts four of ten interpreters that end as usual: "PyGILState_Release: thread state …".
    os._exit(0)
