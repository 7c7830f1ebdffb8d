"""What all rows' prompts begin with: providers and servers reuse their work for a common beginning only."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from batch.prompts.columns import parsed, prompt_templates
from batch.settings import PromptSettings

LONG = 2000
"""Characters of constant text that are worth a cache: about the 1,024 tokens from which OpenAI and Anthropic cache, less a margin."""


def late_constant(prompt: PromptSettings) -> int:
    """The characters of constant text that stand behind a varying part, of the longest such text; 0 for chats that the rows hold."""
    if prompt.stored or isinstance(prompt.messages, str):
        return 0
    varied, longest = False, 0
    for _, source in prompt_templates(prompt):
        for constant in _pieces(source):
            if constant is None:
                varied = True
            elif varied:
                longest = max(longest, constant)
    return longest


def _pieces(source: str) -> Iterator[int | None]:
    """The length of each constant piece of a template in order, None for each that varies."""
    for statement in parsed(source).body:
        for node in statement.nodes if isinstance(statement, nodes.Output) else (statement,):
            yield len(node.data) if isinstance(node, nodes.TemplateData) else None
