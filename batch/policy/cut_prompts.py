"""Detects prompts that a server cut silently, by comparing its usage with what was sent. Ollama cuts them when its context is too short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batch.records import Task

# Prompts of fewer characters fit into any context.
SHORTEST = 4000
# No text that people write has more characters to a token; usual are 3 to 5.
MOST_CHARACTERS_A_TOKEN = 8


def cut_prompt(body: bytes, usage: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """(characters sent, tokens read) of a request whose prompt cannot have been read whole; None if nothing suggests it."""
    tokens = usage.get("prompt_tokens") if usage else None
    if not isinstance(tokens, int) or tokens <= 0 or len(body) < max(SHORTEST, MOST_CHARACTERS_A_TOKEN * tokens):
        return None
    characters = _characters(orjson.loads(body))
    return (characters, tokens) if characters >= max(SHORTEST, MOST_CHARACTERS_A_TOKEN * tokens) else None


def _characters(document: Any) -> int:
    """Count the characters of text in a request; images and the like are not text."""
    messages = document.get("messages", ())
    contents = [message.get("content") for message in messages] if messages else [document.get("prompt", document.get("input"))]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return sum(len(text) for text in texts if isinstance(text, str))


def cut_notice(task: Task, characters: int, tokens: int) -> str:
    """Return the end of a sentence about an endpoint that has cut the prompt of `task`."""
    seen = f"row {task.ordinal} (id {task.id}) has {characters:,} characters, and only {tokens:,} tokens were read"
    return f"seems to cut prompts: {seen}; its answer is to a part. Give the server a longer context, or send less"
