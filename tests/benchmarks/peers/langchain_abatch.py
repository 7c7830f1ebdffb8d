"""langchain-openai: ChatOpenAI.abatch_as_completed with max_concurrency, each answer kept as it comes."""

from __future__ import annotations

import asyncio

from common import KEY, MODEL, Results, options, prompt, read_rows
from langchain_openai import ChatOpenAI


async def main() -> None:
    """All rows as one batch."""
    chosen = options()
    rows, results = read_rows(chosen.rows), Results(chosen.out)
    model = ChatOpenAI(model=MODEL, base_url=chosen.url, api_key=KEY, temperature=0, max_retries=5)
    config = {"max_concurrency": chosen.connections}
    answers = model.abatch_as_completed([prompt(row) for row in rows], config=config, return_exceptions=True)
    async for place, answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        results.keep(rows[place], answer.text, dict(answer.usage_metadata or {}))


asyncio.run(main())
