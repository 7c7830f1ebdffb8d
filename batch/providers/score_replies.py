"""Reads the replies of the APIs that score texts: rerank (results) and score (data).

Sources: vLLM's docs and its protocol (RerankResponse: results [{index, document, relevance_score}], usage {total_tokens}; ScoreResponse:
data [{index, object, score}], usage), Jina's API (results, usage), Cohere's POST /v2/rerank (results, meta.billed_units.search_units),
Voyage's (data [{relevance_score, index}]).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from batch.providers.envelopes import ReplyFormatError, dump
from batch.providers.usage import read_usage, token_count
from batch.records import Reply

# More than any request has; beyond it an index is a mistake that would take memory.
_MOST_INDEX = 1_000_000


def read_scores(document: dict[str, Any]) -> Reply:
    """The scores by index: `text` is the results as JSON, in that order, `scores` the numbers alone, None for a text without one.

    Raises ReplyFormatError for what is no list of results with finite scores, each text's at most once.
    """
    results = next((found for name in ("results", "data") if isinstance(found := document.get(name), list) and found), None)
    if results is None or not all(isinstance(each, dict) for each in results):
        raise ReplyFormatError("no_choices", "the reply holds no scores")
    if all("index" not in each for each in results):
        results = [{**each, "index": place} for place, each in enumerate(results)]
    scores: dict[int, float] = {}
    for each in results:
        place, score = each.get("index"), each.get("relevance_score", each.get("score"))
        if type(place) is not int or not 0 <= place < _MOST_INDEX or place in scores:
            raise ReplyFormatError("no_choices", "the reply's scores have no index each")
        if type(score) not in (int, float) or not math.isfinite(score):
            raise ReplyFormatError("no_choices", "the reply holds something else than finite scores")
        scores[place] = float(score)
    model = document.get("model")
    return Reply(
        text=dump(sorted(results, key=lambda each: each["index"])).decode(),
        scores=[scores.get(place) for place in range(max(scores) + 1)],
        usage=_usage(document),
        model=model if isinstance(model, str) else None,
    )


def _usage(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the usage, with all tokens as those of the prompt, and Cohere's units as `search_units`."""
    usage: Any = document.get("usage")
    read = dict(read_usage(usage) or {})
    meta = document.get("meta")
    if isinstance(meta, Mapping):
        read = {**(read_usage(meta.get("tokens")) or {}), **read}
        billed = meta.get("billed_units")
        units = billed.get("search_units") if isinstance(billed, Mapping) else None
        if (count := token_count(units)) is not None:
            read["search_units"] = count
    if "prompt_tokens" not in read and "total_tokens" in read:
        read["prompt_tokens"] = read["total_tokens"]
    return read or None
