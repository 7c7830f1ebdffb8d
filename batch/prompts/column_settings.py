"""The settings of a prompt that are a template, or the name of a column where they insert nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batch.providers.text_apis import COLUMN_SETTINGS
from batch.settings import PromptSettings

_INSERTS = ("{{", "{%")


def is_template(text: str) -> bool:
    """Whether a text of a setting that may name a column inserts something; else it is a column's name."""
    return any(mark in text for mark in _INSERTS)


def column_templates(prompt: PromptSettings) -> Iterator[tuple[str, str]]:
    """Yield the setting and source of each template among the settings that may name a column."""
    for setting, value in _set(prompt):
        if isinstance(value, str):
            if is_template(value):
                yield setting, value
        else:
            yield from ((f"{setting}[{place}]", text) for place, text in enumerate(value))


def named_columns(prompt: PromptSettings) -> frozenset[str]:
    """Return the columns whose values are sent as they are."""
    return frozenset(value for _, value in _set(prompt) if isinstance(value, str) and not is_template(value))


def _set(prompt: PromptSettings) -> Iterator[tuple[str, str | Sequence[str]]]:
    for setting in COLUMN_SETTINGS:
        if (value := getattr(prompt, setting)) is not None:
            yield setting, value
