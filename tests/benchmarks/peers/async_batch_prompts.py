"""async-batch-llm: process_prompts over its OpenAI-compatible model."""

from __future__ import annotations

import asyncio

from async_batch_llm import llm, process_prompts
from common import KEY, MODEL, Results, options, prompt, read_rows


async def main() -> None:
    """All rows in one call, as the first page of its documentation does it."""
    chosen = options()
    rows = {row["id"]: row for row in read_rows(chosen.rows)}
    model = llm(f"openai-compatible:{MODEL}", base_url=chosen.url, api_key=KEY, max_connections=chosen.connections)
    batch = await process_prompts(model, [(name, prompt(row)) for name, row in rows.items()], concurrency=chosen.connections)
    results = Results(chosen.out)
    for each in batch.results:
        if each.success:
            results.keep(rows[each.item_id], each.output)


asyncio.run(main())
