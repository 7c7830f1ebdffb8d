"""The request parameters of the OpenAI protocol that a `[[model]]` entry may hold.

Source: the OpenAI API reference of chat/completions, completions and embeddings; Cohere's and Jina's of rerank. What promptmill itself
makes (model, messages, prompt, input, stream, stream_options) and `n`, which would break "one outcome for a task", are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from batch.records import Api

_GENERATION: dict[str, str] = {
    "temperature": "Randomness: 0 is nearly always the same answer; most providers take 0 to 2.",
    "top_p": "Nucleus sampling: only the likeliest tokens that together have this probability, above 0 to 1.",
    "max_tokens": "The most tokens an answer may have.",
    "frequency_penalty": "From -2 to 2: above 0 makes repeating frequent tokens less likely.",
    "presence_penalty": "From -2 to 2: above 0 makes new topics more likely.",
    "logit_bias": "Token ids and a bias from -100 to 100 for each.",
    "logprobs": "Log probabilities of the tokens: true or false for chat, a number of candidates for completions.",
    "seed": "Asks the provider for repeatable sampling.",
    "stop": "A text, or up to four, at which the answer ends.",
    "user": "An id of the end user, for the provider's abuse checks.",
}

_CHAT_ONLY: dict[str, str] = {
    "max_completion_tokens": "The most tokens an answer may have, reasoning included.",
    "top_logprobs": "How many candidates (0 to 20) to give for each token; needs logprobs = true.",
    "response_format": 'The form of the answer, such as {type = "json_object"} or a JSON schema.',
    "tools": "Tools that the model may call, the same for every row. For tools by row see prompt.tools.",
    "tool_choice": 'Which tool to call: "none", "auto", "required" or a table that names one.',
    "parallel_tool_calls": "Whether several tools may be called in one answer.",
    "reasoning_effort": "How much a reasoning model thinks: none, minimal, low, medium, high or xhigh, as the model allows.",
    "verbosity": "How wordy the answer is: low, medium or high.",
    "modalities": 'The kinds of output, such as ["text"] or ["text", "audio"].',
    "audio": "Voice and format of audio output.",
    "prediction": "Text that the answer will mostly repeat, to make it faster.",
    "web_search_options": "Settings of the provider's web search.",
    "service_tier": 'The provider\'s class of service, such as "flex" (OpenAI: slower, about half the price).',
    "store": "Whether the provider keeps the answer.",
    "metadata": "Up to 16 texts by name that the provider keeps with a stored answer.",
    "safety_identifier": "A stable id of the end user, for the provider's abuse checks.",
    "prompt_cache_key": "Helps the provider to find requests that begin alike.",
    "prompt_cache_retention": 'How long the provider keeps a cached prefix: "in_memory" or "24h".',
}

_COMPLETIONS_ONLY: dict[str, str] = {
    "suffix": "Text that comes after the completion.",
    "echo": "Whether the prompt is given back before the completion.",
    "best_of": "How many completions the server makes, to give back the best.",
}

_EMBEDDINGS_ONLY: dict[str, str] = {
    "dimensions": "How many numbers an embedding has, for models that can shorten theirs.",
    "encoding_format": 'How numbers are sent: "float" or "base64".',
}

_RERANK_ONLY: dict[str, str] = {
    "top_n": "For rerank: how many documents get a score, the best ones.",
    "return_documents": "For rerank: whether the reply repeats the documents.",
    "max_tokens_per_doc": "For rerank (Cohere): where longer documents are cut.",
}

_RESPONSES_ONLY: dict[str, str] = {
    "max_output_tokens": "The most tokens an answer may have, reasoning included, in the responses API; max_tokens is sent as this there.",
}

# Not tools: theirs have another form.
_RESPONSES = frozenset(
    {
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "top_logprobs",
        "top_p",
        "user",
    }
)

COMMON_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {**_GENERATION, **_CHAT_ONLY, **_COMPLETIONS_ONLY, **_EMBEDDINGS_ONLY, **_RERANK_ONLY, **_RESPONSES_ONLY}
)
"""Every request parameter of the protocol, with one line of help."""

PARAMETERS_OF: Mapping[Api, frozenset[str]] = MappingProxyType(
    {
        "chat/completions": frozenset(_GENERATION) | frozenset(_CHAT_ONLY),
        "completions": frozenset(_GENERATION) | frozenset(_COMPLETIONS_ONLY),
        "embeddings": frozenset(_EMBEDDINGS_ONLY) | {"user"},
        "responses": _RESPONSES,
        "moderations": frozenset[str](),
        "rerank": frozenset(_RERANK_ONLY),
        "score": frozenset[str](),
        # Translated (messages_requests.py); the API's own parameters are the preset's options.
        "messages": frozenset(_GENERATION) | frozenset(_CHAT_ONLY),
    }
)
"""Which of them each API takes."""

PROMPTED_PARAMETERS: Mapping[Api, frozenset[str]] = MappingProxyType(
    {
        **PARAMETERS_OF,
        "responses": _RESPONSES
        # In a chat's form, and translated (responses_requests.py).
        | {"max_tokens", "max_completion_tokens", "reasoning_effort", "verbosity", "response_format", "tools", "tool_choice"},
    }
)
"""Which of them an API takes where a prompt makes the requests."""
