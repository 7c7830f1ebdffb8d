"""What is to be known of a judge beside its marks: what it took, and how far it can be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from batch.evaluation.judges.pairs import Judgement
from batch.records import Outcome


@dataclass(slots=True)
class PairFacts:
    """How two variants stand in the judge's eyes, from the side of `first`; `flips` are those of the ties that the order made.

    `same` counts the ties of equal answers, about which nobody was asked.
    """

    first: str
    second: str
    won: int = 0
    tied: int = 0
    lost: int = 0
    flips: int = 0
    same: int = 0
    unscored: int = 0

    def add(self, judgement: Judgement, *, asked: bool) -> None:
        """Count one judged pair of answers."""
        if judgement.preference is None:
            self.unscored += 1
            return
        self.won += judgement.preference == "first"
        self.lost += judgement.preference == "second"
        self.tied += judgement.preference == "tie"
        self.flips += judgement.flipped
        self.same += not asked


@dataclass(slots=True)
class JudgeFacts:
    """A judge's work on the answers as they are now.

    `calls` are answered ones; `failed` and `open` (not made yet) are without a judgement. `unread` answers gave no clear verdict.
    `cost_usd` is None unless every call has a price. `favoured` are the variants of the judge's own family.
    """

    model: str
    calls: int = 0
    failed: int = 0
    open: int = 0
    unread: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    favoured: list[str] = field(default_factory=list)
    pairs: list[PairFacts] = field(default_factory=list)

    def add(self, outcome: Outcome | None) -> None:
        """Count one call."""
        if outcome is None:
            self.open += 1
            return
        self.calls += outcome.ok
        self.failed += not outcome.ok
        usage = outcome.usage or {}
        self.prompt_tokens += _count(usage.get("prompt_tokens"))
        self.completion_tokens += _count(usage.get("completion_tokens"))
        if outcome.ok:
            priced = self.cost_usd is not None and outcome.cost_usd is not None
            self.cost_usd = self.cost_usd + outcome.cost_usd if priced else None  # type: ignore[operator]

    @property
    def flip_rate(self) -> float | None:
        """The share of the judged pairs whose two orders disagree; None when no pair was asked about."""
        asked = sum(pair.won + pair.tied + pair.lost - pair.same for pair in self.pairs)
        return sum(pair.flips for pair in self.pairs) / asked if asked else None

    def document(self) -> dict[str, Any]:
        """As JSON values; `from_document` reads them."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JudgeFacts:
        """The facts that `document` gave."""
        return cls(**{**document, "pairs": [PairFacts(**pair) for pair in document["pairs"]]})


def _count(value: Any) -> int:
    return value if type(value) is int else 0


def judge_sentences(facts: JudgeFacts, variants: Sequence[str], dollars: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The facts for people, each with the variants that it names; `dollars` is the cost in words."""
    tokens = f"{facts.prompt_tokens:,} + {facts.completion_tokens:,} tokens"
    yield f"{facts.model} judged {facts.calls:,} times for {tokens}; the cost of that is {dollars}.", ()
    if facts.open:
        yield f"{facts.open:,} calls to the judge are not made yet; promptmill score makes them.", ()
    if facts.failed:
        yield (
            f"{facts.failed:,} calls to the judge failed; what they were about has no mark (promptmill score --retry-failed tries again).",
            (),
        )
    if facts.unread:
        yield f"{facts.unread:,} of the judge's answers gave no clear verdict; what they are about is unscored.", ()
    if facts.favoured:
        whose = "all variants" if len(facts.favoured) == len(variants) > 1 else ", ".join(facts.favoured)
        text = f"The judge is of one family with {whose}: judges tend to favour their own, so do not rely on this score alone."
        yield text, tuple(facts.favoured)
    if (rate := facts.flip_rate) is not None:
        yield f"The judge changed its mind with the order of the answers in {100 * rate:.1f} % of the pairs; these count as ties.", ()
    for pair in facts.pairs:
        if pair.won + pair.tied + pair.lost:
            ties = f"tied {pair.tied:,} ({pair.flips:,} by the order, {pair.same:,} equal answers)"
            text = f"{pair.first} against {pair.second}: won {pair.won:,}, {ties}, lost {pair.lost:,}."
            yield text, (pair.first, pair.second)
