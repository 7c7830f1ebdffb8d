"""litellm.acompletion with a semaphore."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
from common import KEY, MODEL, Results, options, prompt, read_rows

litellm.telemetry = False


async def main() -> None:
    """A task for each row, held back by the semaphore."""
    chosen = options()
    results, semaphore = Results(chosen.out), asyncio.Semaphore(chosen.connections)

    async def ask(row: dict[str, Any]) -> None:
        messages = [{"role": "user", "content": prompt(row)}]
        async with semaphore:
            answer = await litellm.acompletion(
                model=f"openai/{MODEL}", messages=messages, temperature=0, api_base=chosen.url, api_key=KEY, num_retries=5
            )
        results.keep(row, answer.choices[0].message.content, answer.usage.model_dump())

    await asyncio.gather(*(ask(row) for row in read_rows(chosen.rows)))


asyncio.run(main())
