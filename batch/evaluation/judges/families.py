"""Which models are kin: judges tend to favour their own (Panickssery et al. 2024, arXiv:2404.13076)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FAMILIES = {
    "openai": r"gpt|chatgpt|^o[134]\b|davinci",
    "anthropic": r"claude",
    "google": r"gemini|gemma|palm",
    "meta": r"llama",
    "mistral": r"mistral|mixtral|codestral|magistral|ministral",
    "qwen": r"qwen|qwq",
    "deepseek": r"deepseek",
    "microsoft": r"\bphi",
    "cohere": r"command-|\baya",
    "xai": r"grok",
    "huggingface": r"smollm",
}


def family(model: str) -> str | None:
    """The maker's family that a model's name tells, None when it tells none."""
    name = model.rpartition("/")[2].lower()
    return next((known for known, pattern in _FAMILIES.items() if re.search(pattern, name)), None)


def favoured(judge: str, candidates: Mapping[str, str]) -> list[str]:
    """The variants (model by name) that are the judge itself, or of its family."""
    own = family(judge)
    return [name for name, model in candidates.items() if model == judge or (own is not None and family(model) == own)]
