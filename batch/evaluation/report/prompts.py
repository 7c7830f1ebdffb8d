"""The prompts of a row as its variants sent them, each different one once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batch.errors import RowError
from batch.evaluation.report.texts import SentMessage, sent_prompt
from batch.prompts import RequestBuilder
from batch.records import BadRow, Row
from batch.settings import Variant


@dataclass(frozen=True, slots=True)
class RowPrompts:
    """`prompts` are the different ones. Each variant has in `which` the number of its own and in `keys` its request's, or None for both."""

    prompts: list[list[SentMessage]]
    which: list[int | None]
    keys: list[bytes | None]


class PromptMaker:
    """Makes the prompts of rows again, as the job has them."""

    def __init__(self, variants: Sequence[Variant], longest: int) -> None:
        self._builders = [RequestBuilder(variant, stream=False) for variant in variants]
        looks = [(variant.prompt, variant.parameters.get("tools")) for variant in variants]
        # Variants that differ in other ways than these send one prompt, which is read once.
        self._same_as = [looks.index(look) for look in looks]
        self._longest = longest

    def make(self, row: Row | BadRow) -> RowPrompts:
        """The prompts of a row; none for a row that cannot be read."""
        made = RowPrompts([], [], [])
        for variant, builder in enumerate(self._builders):
            try:
                request = None if isinstance(row, BadRow) else builder.build(row)
            except RowError:
                request = None
            made.keys.append(None if request is None else request.key)
            if request is None:
                made.which.append(None)
            elif self._same_as[variant] < variant:
                made.which.append(made.which[self._same_as[variant]])
            else:
                made.which.append(_place(sent_prompt(request, self._longest), made.prompts))
        return made


def _place(prompt: list[SentMessage], known: list[list[SentMessage]]) -> int:
    if prompt not in known:
        known.append(prompt)
    return known.index(prompt)
