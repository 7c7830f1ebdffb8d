"""The OpenAI SDK with a semaphore: the loop that most people write. --http aiohttp takes the SDK's own aiohttp client."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
from common import KEY, MODEL, Results, options, prompt, read_rows
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient


async def main() -> None:
    """A task for each row, held back by the semaphore."""
    chosen = options()
    results, semaphore = Results(chosen.out), asyncio.Semaphore(chosen.connections)
    if chosen.http == "aiohttp":
        http: Any = DefaultAioHttpClient()
    else:
        # The SDK's own limits are 1,000 connections, of which 100 are kept.
        limits = httpx2.Limits(max_connections=chosen.connections, max_keepalive_connections=chosen.connections)
        http = DefaultAsyncHttpxClient(limits=limits)
    async with AsyncOpenAI(base_url=chosen.url, api_key=KEY, http_client=http) as client:

        async def ask(row: dict[str, Any]) -> None:
            messages: Any = [{"role": "user", "content": prompt(row)}]
            async with semaphore:
                if chosen.stream:
                    await ask_streamed(row, messages)
                    return
                answer = await client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
                results.keep(row, answer.choices[0].message.content, answer.usage.model_dump() if answer.usage else None)

        async def ask_streamed(row: dict[str, Any], messages: Any) -> None:
            usage, pieces = None, []
            more = {"stream_options": {"include_usage": True}}
            async for chunk in await client.chat.completions.create(model=MODEL, messages=messages, temperature=0, stream=True, **more):
                pieces.extend(choice.delta.content or "" for choice in chunk.choices)
                usage = chunk.usage or usage
            results.keep(row, "".join(pieces), usage.model_dump() if usage else None)

        await asyncio.gather(*(ask(row) for row in read_rows(chosen.rows)))


asyncio.run(main())
