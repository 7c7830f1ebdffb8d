"""Statistics of the calls of a graded score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

from batch.providers.usage import token_count
from batch.records import Outcome


@dataclass(slots=True)
class CallStats(ABC):
    """A model's calls for one score, on the current answers.

    `calls` were answered; `failed` and `open` (not made yet) have no answer. `unread` answers have no usable content.
    `cost_usd` is None unless every call has a price. `kind` is the kind of model.
    """

    kind: ClassVar[Literal["judge", "embedder", "panel"]]

    model: str
    calls: int = 0
    failed: int = 0
    open: int = 0
    unread: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0

    def add(self, outcome: Outcome | None) -> None:
        """Count one call."""
        if outcome is None:
            self.open += 1
            return
        self.calls += outcome.ok
        self.failed += not outcome.ok
        usage = outcome.usage or {}
        self.prompt_tokens += token_count(usage.get("prompt_tokens")) or 0
        self.completion_tokens += token_count(usage.get("completion_tokens")) or 0
        if outcome.ok:
            # One unknown cost makes the sum unknown: a part would look like the whole.
            priced = self.cost_usd is not None and outcome.cost_usd is not None
            self.cost_usd = self.cost_usd + outcome.cost_usd if priced else None  # type: ignore[operator]

    @property
    def note(self) -> str | None:
        """A short note to show beside the score; None when there is nothing to note."""
        return None

    @abstractmethod
    def sentences(self, variants: Sequence[str], dollars: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield sentences, each with the variants that it names; `dollars` is the formatted cost."""

    def document(self) -> dict[str, Any]:
        """Convert to JSON values, which `from_document` reads."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `document` gave."""
        return cls(**document)
