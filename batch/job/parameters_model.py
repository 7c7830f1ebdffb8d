"""The request parameters of a `[[model]]` entry, as a pydantic model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from batch.job.section import Absent, Fraction, NotNegative, Penalty, Section, Text, Whole
from batch.providers.parameters import COMMON_PARAMETERS


def _parameter(name: str) -> Any:
    return Field(default=None, description=COMMON_PARAMETERS[name])


class Parameters(Section):
    """The request parameters that all providers share. Others are accepted here and checked against the provider's options."""

    model_config = ConfigDict(extra="allow")

    temperature: NotNegative | Absent = _parameter("temperature")
    top_p: Fraction | Absent = _parameter("top_p")
    max_tokens: Whole | Absent = _parameter("max_tokens")
    max_completion_tokens: Whole | Absent = _parameter("max_completion_tokens")
    max_output_tokens: Whole | Absent = _parameter("max_output_tokens")
    frequency_penalty: Penalty | Absent = _parameter("frequency_penalty")
    presence_penalty: Penalty | Absent = _parameter("presence_penalty")
    logit_bias: dict[str, float] | Absent = _parameter("logit_bias")
    logprobs: bool | Annotated[int, Field(ge=0)] | Absent = _parameter("logprobs")
    top_logprobs: Annotated[int, Field(ge=0)] | Absent = _parameter("top_logprobs")
    seed: int | Absent = _parameter("seed")
    stop: str | list[str] | Absent = _parameter("stop")
    user: str | Absent = _parameter("user")
    response_format: dict[str, Any] | Absent = _parameter("response_format")
    tools: list[dict[str, Any]] | Absent = _parameter("tools")
    tool_choice: str | dict[str, Any] | Absent = _parameter("tool_choice")
    parallel_tool_calls: bool | Absent = _parameter("parallel_tool_calls")
    reasoning_effort: Text | Absent = _parameter("reasoning_effort")
    verbosity: Text | Absent = _parameter("verbosity")
    modalities: list[str] | Absent = _parameter("modalities")
    audio: dict[str, Any] | Absent = _parameter("audio")
    prediction: dict[str, Any] | Absent = _parameter("prediction")
    web_search_options: dict[str, Any] | Absent = _parameter("web_search_options")
    service_tier: Text | Absent = _parameter("service_tier")
    store: bool | Absent = _parameter("store")
    metadata: dict[str, str] | Absent = _parameter("metadata")
    safety_identifier: str | Absent = _parameter("safety_identifier")
    prompt_cache_key: str | Absent = _parameter("prompt_cache_key")
    prompt_cache_retention: str | Absent = _parameter("prompt_cache_retention")
    suffix: str | Absent = _parameter("suffix")
    echo: bool | Absent = _parameter("echo")
    best_of: Whole | Absent = _parameter("best_of")
    dimensions: Whole | Absent = _parameter("dimensions")
    top_n: Whole | Absent = _parameter("top_n")
    return_documents: bool | Absent = _parameter("return_documents")
    max_tokens_per_doc: Whole | Absent = _parameter("max_tokens_per_doc")
    encoding_format: Literal["float", "base64"] | Absent = _parameter("encoding_format")
