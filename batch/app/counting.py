"""Count the requests of one model, and estimate their tokens, cost and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from batch.engine.feed import Candidate
from batch.executors.batch_prices import batch_price
from batch.executors.batch_times import longest_s, window_s
from batch.journal.index import ResumeIndex
from batch.journal.keys import MOST_KEYS, KeySet
from batch.journal.reading import RecordReader
from batch.policy.dedupe import is_repeatable, may_share
from batch.policy.estimates import AnswerSample, Range, cost_range
from batch.policy.hedging import SHARE
from batch.policy.pricing import answer_limit
from batch.prompts.prefixes import late_constant
from batch.providers.prices import price_of
from batch.records import Request
from batch.settings import Job, Price, Variant
from batch.settings.tiers import STANDARD_TIERS

# Answers of the run that are sampled for the length of prompts and answers.
SAMPLED = 1000
_MEDIA = (b'"image_url"', b'"input_audio"', b'"file"')


@dataclass(frozen=True, slots=True)
class VariantEstimate:
    """The estimate for one variant. Costs are in US dollars, None where they are unknown.

    tasks = kept + refused + copies + requests; `kept` are final already, `refused` cannot be sent (with an example), `copies` take the
    outcome of an equal request. `changed` of those kept have another request now; `media` of the requests hold images, sound or files,
    `pictures`, `sounds` and `files` are those of the prompt's columns and filters: before there are answers their tokens are in no figure.
    `late_constant` are the characters of the longest constant text that stands behind a varying part of the prompt.
    `answer_limit` is the most tokens of an answer, None where some request has no limit. `answers` is how many answers of the run the
    estimate goes by, 0 when it goes by characters. `at_least_s` is by the job's rates, `expected_s` also by the answers so far.
    `batches` is how many a Batch API would get, None where the provider has none; each may take `batch_window_s` by the provider's promise
    (None: unknown), and is cancelled after `batch_longest_s`.
    """

    name: str
    tasks: int
    kept: int
    refused: int
    example: str | None
    changed: int
    copies: int
    requests: int
    media: int
    pictures: int
    sounds: int
    files: int
    late_constant: int
    prompt_tokens: Range
    answer_tokens: Range
    answer_limit: int | None
    answers: int
    price: Price | None
    cost_usd: Range | None
    batch_cost_usd: Range | None
    saved_usd: Range | None
    endpoint: str
    at_least_s: float | None
    expected_s: float | None
    batches: int | None
    batch_window_s: float | None
    batch_longest_s: float | None


@dataclass(slots=True)
class RequestCounts:
    """Counts one variant's requests. `unseen` are tokens of prompts that the requests do not show yet."""

    job: Job
    variant: Variant
    index: ResumeIndex
    tasks: int = 0
    kept: int = 0
    refused: int = 0
    example: str | None = None
    changed: int = 0
    copies: int = 0
    requests: int = 0
    media: int = 0
    pictures: int = 0
    sounds: int = 0
    files: int = 0
    body_bytes: int = 0
    copied_bytes: int = 0
    longest: int | None = 0
    sample: AnswerSample = field(default_factory=AnswerSample)
    keys: KeySet | None = None
    unseen: Range = field(default_factory=lambda: Range(0.0, 0.0))

    def __post_init__(self) -> None:
        self.keys = KeySet(self.index.completed_keys(MOST_KEYS)) if may_share(self.job, self.variant) else None

    def add(self, candidates: Sequence[Candidate], wanted: Sequence[bool]) -> None:
        """Count tasks, and those of them that are to be sent."""
        self.tasks += len(candidates)
        self.kept += len(candidates) - sum(wanted)
        self.changed += sum(c.changed for c in candidates if c.entry is not None and c.entry.ok)
        if self.sample.answers < SAMPLED:
            self._sample([c for c in candidates if c.entry is not None and c.entry.ok and not c.changed])
        sound: list[Candidate] = []
        for candidate, is_wanted in zip(candidates, wanted, strict=True):
            if is_wanted and candidate.error is not None:
                self.refused += 1
                self.example = self.example or candidate.error.message
            elif is_wanted:
                sound.append(candidate)
        self._send(sound)

    def _sample(self, finished: Sequence[Candidate]) -> None:
        with RecordReader(self.index.segments) as reader:
            outcomes = reader.read(self.index.find_requests([candidate.task.request.key for candidate in finished]))
        for candidate, outcome in zip(finished, outcomes, strict=True):
            if outcome is not None and outcome.key == candidate.task.request.key:
                self.sample.add(_text_bytes(candidate.task.request), outcome.usage, outcome.sent, outcome.done)

    def _send(self, candidates: Sequence[Candidate]) -> None:
        shared = [self.keys is not None and is_repeatable(self.variant, c.task.request) for c in candidates]
        keys = [c.task.request.key for c, may in zip(candidates, shared, strict=True) if may]
        known = iter(self.keys.add(keys) if self.keys is not None else ())
        for candidate, may in zip(candidates, shared, strict=True):
            request = candidate.task.request
            if may and next(known):
                self.copies += 1
                self.copied_bytes += _text_bytes(request)
                continue
            self.requests += 1
            self.body_bytes += _text_bytes(request)
            self._count_media(request)
            limit = answer_limit(self.variant, request)
            self.longest = None if self.longest is None or limit is None else max(self.longest, limit)

    def _count_media(self, request: Request) -> None:
        media = request.media
        if media is None:
            self.media += any(mark in request.body for mark in _MEDIA)
            return
        self.media += 1
        self.pictures += media.pictures
        self.sounds += media.sounds
        self.files += media.files

    def estimate(self, now: datetime) -> VariantEstimate:
        """Estimate the tasks at the prices of `now`."""
        prompt, answer = self._tokens(self.requests, self.body_bytes)
        prompt += self.unseen
        price, batch = price_of(self.variant, now), batch_price(self.variant, now)
        at_least, expected = self._seconds(prompt, answer)
        return VariantEstimate(
            name=self.variant.name,
            tasks=self.tasks,
            kept=self.kept,
            refused=self.refused,
            example=self.example,
            changed=self.changed,
            copies=self.copies,
            requests=self._sent,
            media=self.media,
            pictures=self.pictures,
            sounds=self.sounds,
            files=self.files,
            late_constant=late_constant(self.variant.prompt),
            prompt_tokens=prompt,
            answer_tokens=answer,
            answer_limit=self.longest,
            answers=self.sample.answers if self.sample.is_enough else 0,
            price=price,
            cost_usd=self._cost(price, prompt, answer) if price else None,
            batch_cost_usd=cost_range(batch, self.requests, prompt, answer) if batch else None,
            endpoint=self.variant.provider.base_url,
            saved_usd=cost_range(price, self.copies, *self._tokens(self.copies, self.copied_bytes)) if price else None,
            at_least_s=at_least,
            expected_s=expected,
            batches=self._batches(),
            batch_window_s=None if (api := self.variant.provider.batch) is None else window_s(self.job.batch, api),
            batch_longest_s=None if api is None else longest_s(self.job.batch, api),
        )

    @property
    def _sent(self) -> int:
        """How many requests the rows to send are, where several share one."""
        return ceil(self.requests / self.variant.prompt.texts_per_request)

    def _batches(self) -> int | None:
        api = self.variant.provider.batch
        if api is None:
            return None
        most = min(api.max_requests, self.job.batch.max_requests or api.max_requests)
        return max(ceil(self.requests / most), ceil(self.body_bytes / api.max_bytes))

    def _cost(self, price: Price, prompt: Range, answer: Range) -> Range:
        """Return the cost of the requests, at most with all that run.flex_fallback and run.hedge_after may add."""
        run = self.job.run
        cost = cost_range(price, self._sent, prompt, answer)
        dearer = price.at_tier(STANDARD_TIERS[0]) if run.flex_fallback else price
        most = cost_range(dearer, self._sent, prompt, answer).high
        return Range(cost.low, None if most is None else most * (1 if run.hedge_after is None else 1 + SHARE))

    def _tokens(self, requests: int, body_bytes: int) -> tuple[Range, Range]:
        return self.sample.prompt_tokens(body_bytes), self.sample.answer_tokens(requests, self.longest)

    def _seconds(self, prompt: Range, answer: Range) -> tuple[float | None, float | None]:
        """Compute seconds by the job's rates, and by the duration of answers so far."""
        run = self.job.run
        endpoints = 1 + len(self.variant.provider.more_urls)
        minutes = [self._sent / run.requests_per_minute] if run.requests_per_minute else []
        minutes += [(prompt.low + answer.low) / run.tokens_per_minute] if run.tokens_per_minute else []
        at_least = 60 * max(minutes) / endpoints if minutes else None
        latency = self.sample.latency_s
        if latency is None:
            return at_least, None
        at_once = self.sample.in_flight if run.concurrency == "auto" else run.concurrency * endpoints
        return at_least, max(at_least or 0.0, self._sent * latency / at_once)


def _text_bytes(request: Request) -> int:
    """The bytes of a request without the files in it, whose size says nothing about their tokens."""
    return len(request.body) - (0 if request.media is None else request.media.bytes)
