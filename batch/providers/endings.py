"""Sorts finish reasons into families: the words of all dialects for the five endings of the OpenAI protocol, and for broken answers.

Sources: OpenAI's API reference (finish_reason); DeepSeek (insufficient_system_resource); Google's FinishReason enum, which its
OpenAI-compatible layer also gives as "content_filter: PROHIBITED_CONTENT"; Anthropic's stop_reason; Cohere's finish_reason; Bedrock's
stopReason; Mistral (model_length); TGI and vLLM (eos_token, abort); Zhipu (sensitive, network_error); watsonx's stop_reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from batch.records import STREAMED, Api

Ending = Literal["stop", "length", "tool_calls", "function_call", "content_filter", "broken"]

_WORDS: Mapping[Ending, str] = {
    "stop": "stop end_turn stop_sequence stop_token eos eos_token complete completed finished",
    "length": (
        "length max_tokens max_token max_output_tokens max_completion_tokens model_length token_limit error_limit"
        " model_context_window_exceeded context_length_exceeded"
    ),
    "tool_calls": "tool_calls tool_call tool_use",
    "function_call": "function_call",
    "content_filter": (
        "content_filter content_filtered safety recitation blocklist prohibited_content spii image_safety image_prohibited_content"
        " image_recitation language refusal sensitive error_toxic guardrail_intervened moderation"
    ),
    "broken": (
        "error abort aborted cancel cancelled canceled user_cancel insufficient_system_resource network_error time_limit timeout"
        " not_finished malformed_function_call unexpected_tool_call"
    ),
}
_FAMILIES: Mapping[str, Ending] = {word: ending for ending, words in _WORDS.items() for word in words.split()}
# The same words however a dialect joins them: content-filter, ContentFiltered, MAX TOKENS.
_COMPACT: Mapping[str, Ending] = {word.replace("_", ""): ending for word, ending in _FAMILIES.items()}
_PREFIX = "finishreason"
# Endings of whole answers that the model itself made unusable (Gemini): another attempt is another answer, and is paid for.
_OF_THE_MODEL = ("malformedfunctioncall", "unexpectedtoolcall")


def ending_of(reason: str) -> Ending | None:
    """Return the family of a finish reason; None for a word that is in no dialect here."""
    if (ending := _FAMILIES.get(reason)) is not None:
        return ending
    family, _, detail = reason.partition(":")
    return _COMPACT.get(_compact(reason)) or _COMPACT.get(_compact(detail)) or _COMPACT.get(_compact(family))


def is_models_fault(reason: str) -> bool:
    """Whether an answer that counts as broken is whole, and the model's own mistake."""
    return _compact(reason).endswith(_OF_THE_MODEL)


def _compact(word: str) -> str:
    return "".join(filter(str.isalnum, word.lower())).removeprefix(_PREFIX)


def finish_reason_of(reason: str) -> str:
    """Return the protocol's own word for a finish reason; one that is in no dialect here stays as it is."""
    ending = ending_of(reason)
    return reason if ending is None or ending == "broken" else ending


def is_unknown_ending(reason: str | None, api: Api | None) -> bool:
    """Whether an answer names no ending, or one of no dialect here, so that nothing shows whether it is whole."""
    if reason is None:
        return api in STREAMED
    return ending_of(reason) is None
