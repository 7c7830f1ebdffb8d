"""The APIs that are no chats, as rows: which member of a request each setting of a prompt fills.

Sources: the OpenAI API reference (POST /v1/completions, /v1/embeddings); vLLM's docs on its Score and Re-rank APIs (/v1/score, /v1/rerank),
whose second is Jina's (https://jina.ai/reranker) and Cohere's (POST /v2/rerank).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from batch.records import Api


@dataclass(frozen=True, slots=True)
class TextMember:
    """A member of a request: `setting` of the prompt gives it, as `name`.

    `columns`: a setting without {{ }} is the name of a column, and a list has a template for each text; else it is a template.
    `is_list`: the API takes a list of texts only.
    """

    setting: str
    name: str
    columns: bool = False
    is_list: bool = False


TEXT_APIS: Mapping[Api, tuple[TextMember, ...]] = MappingProxyType(
    {
        "completions": (TextMember("text", "prompt"),),
        "embeddings": (TextMember("text", "input"),),
        "rerank": (TextMember("query", "query", columns=True), TextMember("documents", "documents", columns=True, is_list=True)),
        "score": (TextMember("text_1", "text_1", columns=True), TextMember("text_2", "text_2", columns=True)),
    }
)
"""The members of each API's requests that a prompt makes, beside the model."""

COLUMN_SETTINGS = tuple(member.setting for members in TEXT_APIS.values() for member in members if member.columns)
"""The settings of a prompt that may name a column."""
