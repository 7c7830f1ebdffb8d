"""In the manner of the OpenAI cookbook's parallel processor: one row a turn, its tokens counted, buckets of requests and tokens a minute.

As there, each turn of the loop sleeps 1 ms, nothing but the buckets bounds what is in flight, each start is logged, and each answer is
appended to a file that is opened for it. The buckets are so large that they do not bind, and aiohttp's limit of 100 connections is lifted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import time
from typing import Any

import aiohttp
from common import KEY, MODEL, options, prompt, read_rows

TURN_S = 0.001
REQUESTS_A_MINUTE, TOKENS_A_MINUTE = 10_000_000.0, 10_000_000_000.0
ATTEMPTS = 5
LOG = logging.getLogger(__name__)


class Bucket:
    """Capacity that fills up again within a minute."""

    def __init__(self, a_minute: float) -> None:
        self.most = self.left = a_minute

    def fill(self, seconds: float) -> None:
        """Time has passed."""
        self.left = min(self.most, self.left + self.most * seconds / 60)


async def call(session: aiohttp.ClientSession, url: str, number: int, request: dict[str, Any], path: str) -> None:
    """One request, tried again when it fails; its answer or the failure is appended."""
    LOG.info("Starting request #%d", number)
    answer: Any = None
    for _ in range(ATTEMPTS):
        try:
            async with session.post(url, headers={"Authorization": f"Bearer {KEY}"}, json=request) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            answer = {"error": str(error)}
        if "error" not in answer:
            break
    _append([request, answer], path)


def _append(data: Any, path: str) -> None:
    with Path(path).open("a") as file:
        file.write(json.dumps(data) + "\n")


def token_counter() -> Callable[[str], int]:
    """Counts with tiktoken, whose encoding is in a file of litellm's: nothing is downloaded."""
    litellm = find_spec("litellm")
    places = litellm.submodule_search_locations if litellm else None
    if places:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(places[0], "litellm_core_utils", "tokenizers"))
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    return lambda text: len(encoding.encode(text))


async def main() -> None:
    """All rows."""
    logging.basicConfig(level=logging.INFO)
    chosen, count = options(), token_counter()
    url, tasks = f"{chosen.url}/chat/completions", set()
    requests, tokens, updated = Bucket(REQUESTS_A_MINUTE), Bucket(TOKENS_A_MINUTE), time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number, row in enumerate(read_rows(chosen.rows)):
            request = {"model": MODEL, "messages": [{"role": "user", "content": prompt(row)}], "temperature": 0}
            cost = count(prompt(row)) + 4
            while requests.left < 1 or tokens.left < cost:
                await asyncio.sleep(TURN_S)
                requests.fill(time() - updated)
                tokens.fill(time() - updated)
                updated = time()
            requests.left -= 1
            tokens.left -= cost
            task = asyncio.create_task(call(session, url, number, request, chosen.out))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(TURN_S)
        await asyncio.gather(*tasks)


asyncio.run(main())
