"""bespokelabs-curator: an LLM called with a dataset of prompts; its limits a minute are set so high that they do not bind."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from common import KEY, MODEL, Results, options, prompt, read_rows

chosen = options()
os.environ["OPENAI_API_KEY"] = KEY
os.environ["CURATOR_CACHE_DIR"] = f"{chosen.out}.cache"

# curator counts tokens with tiktoken, which would download its encoding; litellm, which curator installs, has it in a file.
litellm = find_spec("litellm")
tokenizers = Path(litellm.submodule_search_locations[0], "litellm_core_utils", "tokenizers") if litellm else None
if tokenizers is not None and tokenizers.is_dir():
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tokenizers)

from bespokelabs import curator  # noqa: E402 - reads its environment when it is imported

rows = read_rows(chosen.rows)
llm = curator.LLM(
    model_name=MODEL,
    backend="openai",
    generation_params={"temperature": 0},
    backend_params={
        "base_url": chosen.url,
        "max_requests_per_minute": 10_000_000,
        "max_tokens_per_minute": 10_000_000_000,
        "max_concurrent_requests": chosen.connections,
    },
)
answers = llm([prompt(row) for row in rows])
results = Results(chosen.out)
for row, answer in zip(rows, getattr(answers, "dataset", answers), strict=True):
    results.keep(row, answer["response"])
