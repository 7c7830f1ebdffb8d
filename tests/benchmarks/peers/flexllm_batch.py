"""flexllm: chat_batch_iter, its own file of results for going on after a stop; a line for each answer as it comes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from common import KEY, MODEL, Results, options, prompt, read_rows
from flexllm import LLMClient

# The client's own limit is 1,000 requests a second.
MOST_A_SECOND = 1_000_000


async def main() -> None:
    """All rows in one batch."""
    chosen = options()
    rows, results = read_rows(chosen.rows), Results(chosen.out)
    chats: Any = [[{"role": "user", "content": prompt(row)}] for row in rows]
    limits = {"concurrency_limit": chosen.connections, "max_qps": MOST_A_SECOND}
    async with LLMClient(model=MODEL, base_url=chosen.url, api_key=KEY, **limits) as client:
        answers = client.chat_batch_iter(chats, output_jsonl=f"{chosen.out}.own.jsonl", show_progress=False, temperature=0)
        async with aclosing(answers) as items:
            async for index, answer in items:
                if answer.ok:
                    results.keep(rows[index], answer.content, answer.usage)


asyncio.run(main())
