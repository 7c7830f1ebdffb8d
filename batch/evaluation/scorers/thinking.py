"""Remove thinking, which is not part of an answer: find its end by the tags that models and their chat templates use.

Tags: DeepSeek, Qwen, GLM (`<think>`), Mistral (`[THINK]`), EXAONE (`<thought>`), ByteDance Seed (`<seed:think>`), Cohere
(`<|START_THINKING|>`), Kimi (`◁think▷`), prompts in wide use (`<thinking>`, `<reasoning>`, `<scratchpad>`), and the channels of
gpt-oss (the Harmony format of OpenAI).
"""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = ("think", "thinking", "thought", "thoughts", "reason", "reasoning", "reflection", "scratchpad", "seed:think")
_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_CHANNEL = re.compile(r"<\|channel\|>\s*(?:analysis|commentary|final)\b")
_CHANNEL_END = re.compile(r"<\|(?:return|end)\|>\s*\Z")
# What is left of Harmony's channels where a server drops special tokens.
_BARE_CHANNELS = re.compile(r"\Aanalysis(?=[A-Z\s]).*assistantfinal", re.DOTALL)


class UnendedThinkingError(ValueError):
    """The text ends within its thinking: there is no answer in it."""


def without_thinking(text: str, tag: str | None = None) -> str:
    """Return the answer in `text`, after the last end of thinking. `tag` is a further tag, such as "plan" or "[PLAN]".

    Raises:
        UnendedThinkingError: the text begins with thinking that does not end.
    """
    if _CHANNEL.search(text):
        return _final_channel(text)
    if bare := _BARE_CHANNELS.match(text):
        return text[bare.end() :]
    opening, closing = _patterns(tag)
    ends = list(closing.finditer(text))
    if not ends:
        if opening.match(text):
            raise UnendedThinkingError
        return text
    rest = text[ends[-1].end() :]
    if opening.match(rest):
        raise UnendedThinkingError
    return rest if rest.strip() else _before_blocks(text, opening, closing)


def _final_channel(text: str) -> str:
    finals = list(_FINAL_CHANNEL.finditer(text))
    if not finals:
        raise UnendedThinkingError
    return _CHANNEL_END.sub("", text[finals[-1].end() :])


def _before_blocks(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Return the text before the thinking, for a model that explains itself after its answer; empty where all is thinking."""
    began = opening.search(text)
    return text[: began.start()] if began and closing.search(text, began.end()) else ""


@lru_cache(maxsize=64)
def _patterns(tag: str | None) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Make the patterns of the beginning of thinking, to `match` at the start of a text, and of its end."""
    own = [] if tag is None else [re.escape(tag.strip("<>[]|◁▷/ "))]
    names = "|".join([*own, *map(re.escape, sorted(_NAMES, key=len, reverse=True))])
    opening = rf"\s*(?:<(?:{names})>|\[(?:{names})\]|◁(?:{names})▷|<\|START_THINKING\|>|<\|begin_of_thought\|>)"
    closing = rf"</(?:{names})>|\[/(?:{names})\]|◁/(?:{names})▷|<\|END_THINKING\|>|<\|end_of_thought\|>"
    return re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)
