"""An endpoint in a process of its own that says which pictures it got; `python -m tests.support.hash_server` prints its port.

Requests are counted by the text of their prompt. GET /counts gives the counts.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson

from tests.support.pictures import files_of, parts_of
from tests.support.scripted import chat_reply, http

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MOST_BYTES = 1 << 26


class HashServer:
    """The server of a test."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"

    def counts(self) -> dict[str, int]:
        """How often each prompt came."""
        with urllib.request.urlopen(self.url.replace("/v1", "/counts"), timeout=60) as reply:
            return orjson.loads(reply.read())

    def total(self) -> int:
        """How many requests came."""
        return sum(self.counts().values())


@contextmanager
def hash_server() -> Iterator[HashServer]:
    """A running server."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.hash_server"], stdout=subprocess.PIPE, text=True)
    try:
        yield HashServer(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


class _Handler:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                writer.write(self.answer(head, body))
                await writer.drain()
        writer.close()

    def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /counts"):
            return http(200, orjson.dumps(self.counts))
        if head.startswith(b"GET"):
            return http(404, b"{}")
        request = orjson.loads(body)
        self.counts[next(part["text"] for part in parts_of(request) if "text" in part)] += 1
        return chat_reply(" ".join(files_of(request)))


async def _main() -> None:
    server = await asyncio.start_server(_Handler().serve, "127.0.0.1", 0, limit=_MOST_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
