"""Statistics of a judge beside its scores: the use and cost of its calls, and its reliability."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np

from batch.evaluation.formatting import percent, percent_limits
from batch.evaluation.grading.call_stats import CallStats
from batch.evaluation.grading.judge_bias import JudgeBias
from batch.evaluation.grading.pairs import Judgement
from batch.evaluation.statistics.bradley_terry import Strength, bradley_terry


@dataclass(slots=True)
class PairStats:
    """The judge's results for a pair of variants, from the side of `first`. `flips` are the ties whose two orders disagreed.

    `same` counts the ties of equal answers, which need no call.
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


@dataclass(frozen=True, slots=True)
class PersonStats:
    """A judge's agreement with people on the current answers: Cohen's kappa with its 95 % interval, and the share of equal labels.

    `kappa` is None when all labels are the same, so that chance alone explains everything. `weights` are none, or quadratic on a scale.
    """

    labels: int
    kappa: float | None
    low: float
    high: float
    agreed: float
    weights: str

    @property
    def short(self) -> str:
        """The agreement in a few words: "kappa 0.62 with 30 labels"."""
        known = "unknown" if self.kappa is None else f"{self.kappa:z.2f}"
        return f"kappa {known} with {_labels(self.labels)}"

    @property
    def sentence(self) -> str:
        """The agreement for people."""
        same = f"it gave the same label for {100 * self.agreed:z.1f} % of {_labels(self.labels)} of a person"
        if self.kappa is None:
            return f"The judge against a person: {same}; Cohen's kappa is undefined, for the labels are all the same."
        weighted = " (weighted by squares)" if self.weights == "quadratic" else ""
        kappa, low, high = (f"{each:z.2f}" for each in (self.kappa, self.low, self.high))
        return f"The judge against a person: Cohen's kappa{weighted} {kappa} [{low}, {high}]; {same}."


@dataclass(frozen=True, slots=True)
class CorrectedScore:
    """The estimated mean that people would give a variant, from 0 to 1, with its 95 % interval (prediction-powered), and the judge's."""

    variant: str
    labels: int
    judged: float
    estimate: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """The corrected mean for people."""
        limits = percent_limits(self.low, self.high)
        corrected = f"{percent(self.estimate)} {limits} as people would have scored it, by {_labels(self.labels)} and all verdicts"
        return f"{self.variant}: {corrected} (prediction-powered); the judge's own mean is {percent(self.judged)}."


@dataclass(slots=True)
class JudgeStats(CallStats):
    """A judge's work. `favoured` are the variants of the judge's own family; `person` is None where nothing is labelled.

    `again` are the follow-up calls for verdicts that could not be read. `criteria` has the sum of scores and their number by variant and
    criterion.
    """

    kind: ClassVar[Literal["judge"]] = "judge"

    favoured: list[str] = field(default_factory=list)
    pairs: list[PairStats] = field(default_factory=list)
    again: int = 0
    person: PersonStats | None = None
    bias: JudgeBias = field(default_factory=JudgeBias)
    corrected: list[CorrectedScore] = field(default_factory=list)
    criteria: dict[str, dict[str, tuple[float, int]]] = field(default_factory=dict)

    def add_criteria(self, variant: str, scores: Mapping[str, float]) -> None:
        """Count one answer's score on each criterion."""
        of_variant = self.criteria.setdefault(variant, {}) if scores else {}
        for name, score in scores.items():
            total, count = of_variant.get(name, (0.0, 0))
            of_variant[name] = (total + score, count + 1)

    @property
    def note(self) -> str | None:
        """A short note to show beside the score; None when there is nothing to note."""
        return None if self.person is None else self.person.short

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """Bradley-Terry strengths by the judged pairs; empty for fewer than three variants, whose shares of won pairs say all."""
        names = list(dict.fromkeys(name for pair in self.pairs for name in (pair.first, pair.second)))
        judged = [pair for pair in self.pairs if pair.won + pair.tied + pair.lost]
        # A variant without a judged pair would get its strength from the model's added pairs alone.
        if len(names) < 3 or len({name for pair in judged for name in (pair.first, pair.second)}) < len(names):
            return ()
        won = np.zeros((len(names), len(names)))
        for pair in judged:
            first, second = names.index(pair.first), names.index(pair.second)
            won[first, second] += pair.won + pair.tied / 2
            won[second, first] += pair.lost + pair.tied / 2
        return bradley_terry(names, won)

    @property
    def flip_rate(self) -> float | None:
        """The share of the judged pairs whose two orders disagree; None when no pair needed a call."""
        # Equal answers need no call, so their tie says nothing of the order.
        asked = sum(pair.won + pair.tied + pair.lost - pair.same for pair in self.pairs)
        return sum(pair.flips for pair in self.pairs) / asked if asked else None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the output of `document`."""
        person = document.get("person")
        pairs = [PairStats(**pair) for pair in document["pairs"]]
        read = {
            "pairs": pairs,
            "person": PersonStats(**person) if person is not None else None,
            "bias": JudgeBias.from_document(document.get("bias")),
            "corrected": [CorrectedScore(**each) for each in document.get("corrected", ())],
        }
        return cls(**{**document, **read})

    def sentences(self, variants: Sequence[str], dollars: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield sentences, each with the variants that it names; `dollars` is the formatted cost."""
        tokens = f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens"
        yield f"{self.model} judged {self.calls:,} times for {tokens}; the cost of that is {dollars}.", ()
        if self.person is not None:
            yield self.person.sentence, ()
        for variant, criteria in self.criteria.items():
            means = ", ".join(f"{name} {percent(total / count)}" for name, (total, count) in criteria.items())
            yield f"{variant} by criterion: {means}.", (variant,)
        for each in self.corrected:
            yield each.sentence, (each.variant,)
        if self.open:
            yield f"{self.open:,} calls to the judge are not made yet; promptmill score makes them.", ()
        if self.failed:
            again = "promptmill score --retry-failed tries again"
            yield f"{self.failed:,} calls to the judge failed; the answers in them have no score ({again}).", ()
        if self.unread:
            asked = f", {self.again:,} follow-up calls included" if self.again else ""
            yield (
                f"{self.unread:,} verdicts of the judge cannot be read{asked}: the answers in them have no score, and count for no model.",
                (),
            )
        if self.favoured:
            whose = "all variants" if len(self.favoured) == len(variants) > 1 else ", ".join(self.favoured)
            text = f"The judge belongs to the model family of {whose}: judges tend to favour their own, so do not rely on this score alone."
            yield text, tuple(self.favoured)
        for sentence in self.bias.sentences():
            yield sentence, ()
        yield from self._pair_sentences()

    def _pair_sentences(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        if (rate := self.flip_rate) is not None:
            yield f"The judge changed its mind with the order of the answers in {100 * rate:z.1f} % of the pairs; these count as ties.", ()
        if strengths := self.strengths:
            shown = [f"{one.variant} {one.strength:+z.2f} [{one.low:+z.2f}, {one.high:+z.2f}]" for one in strengths]
            names = tuple(one.variant for one in strengths)
            yield f"Bradley–Terry strengths (log-odds against the mean, 95 % interval): {', '.join(shown)}.", names
        for pair in self.pairs:
            if pair.won + pair.tied + pair.lost:
                ties = f"tied {pair.tied:,} ({pair.flips:,} by the order, {pair.same:,} equal answers)"
                text = f"{pair.first} against {pair.second}: won {pair.won:,}, {ties}, lost {pair.lost:,}."
                yield text, (pair.first, pair.second)


def _labels(count: int) -> str:
    return "1 label" if count == 1 else f"{count:,} labels"


# By the model's name and not its provider, since gateways serve models of all families.
_FAMILIES = {
    "openai": r"gpt|chatgpt|^o[134]\b|davinci",
    "anthropic": r"claude",
    "google": r"gemini|gemma|palm",
    "meta": r"llama",
    "mistral": r"mistral|mixtral|codestral|magistral|ministral",
    "qwen": r"qwen|qwq",
    "deepseek": r"deepseek",
    "microsoft": r"\bphi",
    "cohere": r"command-|\baya",
    "xai": r"grok",
    "huggingface": r"smollm",
}


def family(model: str) -> str | None:
    """Return the family that a model's name indicates, or None."""
    name = model.rpartition("/")[2].lower()
    return next((known for known, pattern in _FAMILIES.items() if re.search(pattern, name)), None)


def favoured(judge: str, candidates: Mapping[str, str]) -> list[str]:
    """Find the variants (model by name) that are the judge itself, or of its family."""
    own = family(judge)
    return [name for name, model in candidates.items() if model == judge or (own is not None and family(model) == own)]
