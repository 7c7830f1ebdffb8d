"""Estimates the tokens of requests and answers before they are sent, from characters, or from existing answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batch.policy.pricing import MILLION, rates_of
from batch.policy.rate_limiter import tokens_of
from batch.settings import Price

# Bytes of JSON in a token: about 4 in English, fewer in code, numbers and other scripts, more where field names make much of a prompt.
_FEWEST_BYTES, _MOST_BYTES = 2.5, 6.0
# With at least this many answers, their usage is a better estimate than the characters.
FEWEST_ANSWERS = 5
# Rows not yet sent may differ from those that were answered.
_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`; without a `high` there is no known bound."""

    low: float
    high: float | None

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, None if self.high is None or other.high is None else self.high + other.high)


@dataclass(slots=True)
class AnswerSample:
    """Answers of a run: their tokens against the bytes of their requests, and the seconds that they took."""

    answers: int = 0
    _bytes: float = 0.0
    _prompt: float = 0.0
    _error: float = 0.0
    _answer: float = 0.0
    _answer_squared: float = 0.0
    _times: list[tuple[float, float]] = field(default_factory=list)

    def add(self, body_bytes: int, usage: Mapping[str, Any] | None, sent: float | None, done: float | None) -> None:
        """Add one answer, sent at `sent` and received at `done` (epoch seconds). One without usage is ignored."""
        prompt, answer = tokens_of(usage, "prompt_tokens"), tokens_of(usage, "completion_tokens")
        if not prompt:
            return
        answer = max(answer, tokens_of(usage, "total_tokens") - prompt)
        self.answers += 1
        self._bytes += body_bytes
        self._prompt += prompt
        self._error += (prompt - body_bytes * self._prompt / self._bytes) ** 2
        self._answer += answer
        self._answer_squared += answer**2
        if sent is not None and done is not None:
            self._times.append((sent, done))

    @property
    def is_enough(self) -> bool:
        """Whether there are enough answers for an estimate."""
        return self.answers >= FEWEST_ANSWERS

    @property
    def latency_s(self) -> float | None:
        """Return the mean seconds from request to answer."""
        return sum(done - sent for sent, done in self._times) / len(self._times) if self._times else None

    @property
    def in_flight(self) -> float:
        """Return the mean number of these requests in flight, over the time in which there was any."""
        waited, until = 0.0, -math.inf
        for sent, done in sorted(self._times):
            waited += max(0.0, done - max(sent, until))
            until = max(until, done)
        return sum(done - sent for sent, done in self._times) / waited if waited else 1.0

    def prompt_tokens(self, body_bytes: int) -> Range:
        """Return the tokens of prompts of `body_bytes` bytes in total."""
        if not self.is_enough:
            return Range(body_bytes / _MOST_BYTES, body_bytes / _FEWEST_BYTES)
        share = self._prompt / self._bytes
        # The standard error of a ratio of means; two of them on either side.
        error = 2 * math.sqrt(self._error) / self._bytes
        return _around(body_bytes * share, body_bytes * error)

    def answer_tokens(self, requests: int, limit: int | None) -> Range:
        """Return the tokens of `requests` answers, each of at most `limit` tokens if there is a limit."""
        most = None if limit is None else float(limit * requests)
        if not self.is_enough or limit == 0:
            return Range(float(min(requests, requests if most is None else most)), most)
        mean = self._answer / self.answers
        variance = max(0.0, self._answer_squared / self.answers - mean**2)
        found = _around(requests * mean, 2 * requests * math.sqrt(variance / self.answers))
        return found if most is None or found.high is None else Range(min(found.low, most), min(found.high, most))


def cost_range(price: Price, requests: int, prompt_tokens: Range, answer_tokens: Range) -> Range:
    """Return the US dollars for `requests` requests, assuming equal lengths and no cached tokens."""

    def dollars(prompt: float, answer: float) -> float:
        rates = rates_of(price, prompt / requests if requests else 0.0)
        return (prompt * rates.input + answer * rates.output) / MILLION + requests * price.per_request

    low = dollars(prompt_tokens.low, answer_tokens.low)
    if prompt_tokens.high is None or answer_tokens.high is None:
        return Range(low, None)
    return Range(low, dollars(prompt_tokens.high, answer_tokens.high))


def _around(middle: float, error: float) -> Range:
    spread = max(error, _MARGIN * middle)
    return Range(max(0.0, middle - spread), middle + spread)
