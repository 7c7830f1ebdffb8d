"""Limits requests and tokens per minute, by the job's limits and by what the endpoint's headers say is left. Times are monotonic seconds.

Headers: x-ratelimit-remaining-requests / -tokens and -reset-*, as OpenAI has them
(https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers").
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from batch.media import Media
from batch.policy.waits import parse_duration, server_wait
from batch.record_class import record_class

# In any 10 s at most 2 % more than the rate.
BURST_S = 0.2
# A caller that finds the bucket empty waits until this much is available, instead of once for each request.
GATHER_S = 0.02
BYTES_PER_TOKEN = 4
# Pictures take 85 to 1,600 tokens at most providers; sounds some 10 a second, PDFs some 2,000 a page. What was used corrects all of these.
PICTURE_TOKENS, BYTES_PER_OTHER_TOKEN = 1000, 1000
# Expected tokens of an answer, before the first answer, if the request names no limit.
UNKNOWN_ANSWER = 256
ODD_RESET_S = 86_400.0
# Tokens that no answer exceeds where the request names no limit, and none of what a request refers to (an image, a file).
MOST_ANSWER, MOST_ATTACHED = 262_144, 262_144

NAMED_LIMIT = re.compile(rb'"max_(?:completion_|output_)?tokens":\s*(\d+)')
"""The most tokens of an answer, as a body of any API names it."""

STATED = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
"""The headers that say when a quota is back."""


class Bucket:
    """A rate, evenly spread, with at most BURST_S of it at once (the generic cell rate algorithm)."""

    def __init__(self, per_minute: float) -> None:
        self._interval = 60.0 / per_minute
        self._slack = max(0.0, BURST_S - self._interval)
        self._next = -math.inf

    def hold(self, now: float) -> float:
        """Return the seconds until something may be taken; 0: now."""
        wait = self._next - self._slack - now
        return wait + min(self._slack, GATHER_S) if wait > 0 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, even beyond what is available."""
        self._next = max(self._next, now) + amount * self._interval

    def correct(self, amount: float) -> None:
        """Correct an earlier estimate: `amount` more (less if negative) was used than was taken."""
        self._next += amount * self._interval


class ServerQuota:
    """The remaining quota of one kind that an endpoint states. When it is used up, nothing is sent `until` its reset."""

    def __init__(self, kind: str) -> None:
        self._remaining, self._reset = f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"
        self.until = -math.inf
        self._learned_from = -1

    def observe(self, headers: Mapping[str, str], number: int, used_since: float, now: float, longest: float = math.inf) -> None:
        """Apply the headers of the answer to request `number`; since it was sent, others have used `used_since` of what it says is left.

        An endpoint may count when a request comes or when it is answered. Counting for ourselves what was sent since errs on the safe
        side, until the last request that was sent is answered. The hold is at most `longest` seconds.
        """
        text = headers.get(self._remaining)
        if text is None or number < self._learned_from:
            return
        remaining, reset = _number(text), parse_duration(headers.get(self._reset, ""))
        if remaining is None or reset is None or reset > ODD_RESET_S:
            return
        self._learned_from = number
        self.until = now + min(reset, longest) if remaining <= used_since else -math.inf


@record_class(frozen=True, slots=True)
class Ticket:
    """A request that was sent: its number among all of its endpoint, from 1, the tokens it is expected to use, and its body."""

    number: int = 0
    tokens: float = 0.0
    body: bytes = b""


UNSENT = Ticket()
"""The ticket of what was not sent yet."""


class RateLimit(Protocol):
    """A rate from which amounts are taken over time."""

    def hold(self, now: float) -> float:
        """Return the seconds until something may be taken; 0: now."""

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, even beyond what is available."""

    def correct(self, amount: float) -> None:
        """Correct an earlier estimate: `amount` more (less if negative) was used than was taken."""


def _bucket(name: str, per_minute: int | None) -> RateLimit | None:
    del name
    return Bucket(per_minute) if per_minute else None


class RateLimiter:
    """The rates of one endpoint and key. `limit` makes the RateLimit of "requests" or "tokens" from an amount per minute, None for none."""

    def __init__(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, limit: Callable[[str, int | None], RateLimit | None] = _bucket
    ) -> None:
        self._limit = limit
        self._per_minute = requests_per_minute, tokens_per_minute
        self._requests, self._tokens = limit("requests", requests_per_minute), limit("tokens", tokens_per_minute)
        self._left_requests, self._left_tokens = ServerQuota("requests"), ServerQuota("tokens")
        self._sent = 0
        self._answers = 0
        self._mean_answer = 0.0
        self._mean_total = 0.0

    def change(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Keep to other rates from now on; None for no limit. A rate that stays keeps what was taken of it."""
        before, self._per_minute = self._per_minute, (requests_per_minute, tokens_per_minute)
        if before[0] != requests_per_minute:
            self._requests = self._limit("requests", requests_per_minute)
        if before[1] != tokens_per_minute:
            self._tokens = self._limit("tokens", tokens_per_minute)

    def hold(self, now: float) -> float:
        """Return the seconds until something may be sent; 0: now."""
        wait = self.stated_hold(now)
        if self._requests is not None:
            wait = max(wait, self._requests.hold(now))
        return wait if self._tokens is None else max(wait, self._tokens.hold(now))

    def stated_hold(self, now: float) -> float:
        """Return the seconds until the reset that the endpoint's headers state, while they say that nothing is left; else 0."""
        return max(0.0, self._left_requests.until - now, self._left_tokens.until - now)

    def forget_stated(self) -> None:
        """Forget what the endpoint's headers said is left, until they say so again."""
        self._left_requests.until = self._left_tokens.until = -math.inf

    def sent(self, body: bytes, now: float, media: Media | None = None) -> Ticket:
        """Count a request that leaves; `media` are the files in it."""
        self._sent += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is None:
            return Ticket(self._sent, 0.0, body)
        tokens = self._estimate(body, media)
        self._tokens.take(tokens, now)
        return Ticket(self._sent, tokens, body)

    def ended(self, ticket: Ticket, headers: Mapping[str, str], usage: Mapping[str, Any] | None, now: float, *, refused: bool) -> None:
        """Correct the estimate of a request that is over. A refused one used no tokens."""
        since = self._sent - ticket.number
        answer = tokens_of(usage, "completion_tokens")
        total = answer + tokens_of(usage, "prompt_tokens")
        # A usage of 10^12 tokens must not hold the run for centuries. No request can use fewer tokens than it has bytes at most.
        if total > len(ticket.body):
            total = min(_most_tokens(ticket.body), total)
            answer = min(total, answer)
        if total:
            self._answers += 1
            weight = 1 / min(self._answers, 1000)
            self._mean_answer += weight * (answer - self._mean_answer)
            self._mean_total += weight * (total - self._mean_total)
        if self._tokens is not None and (refused or total):
            self._tokens.correct((0.0 if refused else total) - ticket.tokens)
        # A reset says when the whole quota is back, a Retry-After when the next request fits. Without a clock a date is read by the
        # reply's own Date header; where that is missing too the reset stands.
        wait = server_wait(headers, 0.0) if refused else None
        longest = wait or math.inf
        self._left_requests.observe(headers, ticket.number, since, now, longest)
        self._left_tokens.observe(headers, ticket.number, since * self._mean_total, now, longest)

    def _estimate(self, body: bytes, media: Media | None) -> float:
        named = NAMED_LIMIT.search(body)
        most = float(named[1]) if named else math.inf
        expected = self._mean_answer if self._answers else UNKNOWN_ANSWER
        return prompt_estimate(len(body), media) + (min(most, expected) if self._answers or not named else most)


def prompt_estimate(body_bytes: int, media: Media | None) -> float:
    """Estimate the tokens of a prompt: of its text by bytes, of its files by what models take for one."""
    if media is None:
        return body_bytes / BYTES_PER_TOKEN
    others = (media.bytes - media.picture_bytes) / BYTES_PER_OTHER_TOKEN
    return (body_bytes - media.bytes) / BYTES_PER_TOKEN + media.pictures * PICTURE_TOKENS + others


def _most_tokens(body: bytes) -> float:
    """Return the most tokens that a request can use: one for each byte of it, and the answer's limit or the stated assumption."""
    named = NAMED_LIMIT.search(body)
    attached = MOST_ATTACHED if b'_url"' in body or b'"file' in body else 0
    return len(body) + attached + (float(named[1]) if named else MOST_ANSWER)


def _number(text: str) -> float | None:
    """Return a plausible count; None for -1 and junk."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def tokens_of(usage: Mapping[str, Any] | None, name: str) -> float:
    """Return the tokens that an endpoint's usage states; 0 if it states none, or an implausible number."""
    value = usage.get(name) if usage else None
    # A tuple: `int | float` is made at each call, and there are several for each row.
    return float(value) if isinstance(value, (int, float)) and 0 <= value < math.inf else 0.0
