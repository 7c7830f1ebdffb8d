"""The Batch APIs of the presets, as rows of data, and the plain row of each family.

Sources: the providers' pages on their Batch APIs (docs/batch-api.md names what each row says and what was tried against a server).
Prices are a share of the live price only where the provider states one number for all models.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from batch.settings.batch_api import BatchApi, BatchFamily

MEGABYTE = 1_000_000
MAX_INPUTS = 50_000
"""OpenAI's bound on what a batch of embeddings may embed in all."""

FAMILIES: Mapping[BatchFamily, BatchApi] = MappingProxyType(
    {
        "files": BatchApi(),
        # Nothing in an inline batch of a provider that is not known here is certain to say what it was made of.
        "inline": BatchApi(family="inline", max_bytes=20 * MEGABYTE, window=None, matches=False, names_model=True, results="batch"),
        "jobs": BatchApi(family="jobs", path="batch/jobs", window="24", names_model=True),
    }
)
"""The row of an endpoint of one's own: [provider.NAME] batch = "files"."""

OPENAI = BatchApi(price_share=0.5)
AZURE = BatchApi(max_requests=100_000, price_share=0.5, urls={"chat/completions": "/chat/completions"})
# Its pages state a discount that has changed over time, not by model: the price list decides, else the live price is taken.
GROQ = BatchApi(max_bytes=100 * MEGABYTE)
TOGETHER = BatchApi(purpose="batch-api", max_bytes=100 * MEGABYTE)
DEEPINFRA = BatchApi(price_share=0.8)
DOUBLEWORD = BatchApi()
OPENROUTER = BatchApi(
    family="inline", max_bytes=20 * MEGABYTE, window=None, matches=False, cancels=False, names_model=True, results="batch"
)
# Half, by its pricing page as third parties cite it (2026-11); the page itself was not read: unverified.
MISTRAL = BatchApi(family="jobs", path="batch/jobs", window="24", price_share=0.5, names_model=True, max_requests=1_000_000)
ANTHROPIC = BatchApi(
    family="inline",
    path="messages/batches",
    apis=("messages",),
    max_requests=100_000,
    max_bytes=256 * MEGABYTE,
    window=None,
    price_share=0.5,
    matches=False,
    body_key="params",
    results="results",
)


def inputs_of(body: Mapping[str, Any]) -> int:
    """Return how many inputs the body of a request for embeddings has: a list of numbers is one text as tokens."""
    given = body.get("input")
    return len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
