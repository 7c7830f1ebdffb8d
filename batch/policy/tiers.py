"""Service tiers: what is sent at a cheaper one, and what its refusals mean. Pure.

OpenAI's flex tier answers slowly, and refuses with 429 "resource unavailable", unbilled, while it has no capacity. Its page advises a
time-out of 15 minutes, exponential backoff, and, where an answer is worth the price, the standard tier, which is what a request without
`service_tier` gets (https://developers.openai.com/api/docs/guides/flex-processing). Groq says the same by 498
(https://console.groq.com/docs/flex-processing). The reply's `service_tier` names the tier that answered, and is billed.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from http import HTTPStatus

import orjson

from batch.policy.dialects import NO_CAPACITY
from batch.policy.verdicts import Verdict
from batch.policy.waits import CAPACITY_CAP_S, backoff
from batch.records import Request
from batch.settings.tiers import FLEX, TIER_KEY

STANDARD = "default"
"""OpenAI's name of the standard tier, in replies and in requests."""

SLOW = frozenset({"timeout_first_byte", "timeout_attempt"})
"""Codes of attempts that took too long; a tier that is slow may use up all attempts in that way."""

NOTICE_INTERVAL_S = 60.0

_ASKS_FLEX = re.compile(rb'"service_tier"\s*:\s*"flex"')


class CapacityRefusals:
    """The refusals of an endpoint's flex tier. Each lets its own row wait; what is sent at other tiers is not slowed down."""

    def __init__(self) -> None:
        self._quiet_until = -math.inf

    def refused(self, tries: int, wait: float | None, now: float, random: float) -> tuple[float, str | None]:
        """Return when a row may be sent again after its `tries`-th attempt, and once a minute a sentence.

        `wait` is what the endpoint asked for, in seconds, and is never shortened; `random` is from [0, 1).
        """
        due = now + max(wait or 0.0, backoff(max(1, tries), random, CAPACITY_CAP_S))
        if now < self._quiet_until:
            return due, None
        self._quiet_until = now + NOTICE_INTERVAL_S
        return due, "the flex tier has no capacity; its rows wait, and are sent again at growing intervals"


def asks_flex(request: Request) -> bool:
    """Whether a request asks for the flex tier."""
    return _ASKS_FLEX.search(request.body) is not None


def at_standard_tier(request: Request) -> Request | None:
    """Return the same request without the flex tier, which gets the standard one; None for a request that asks for no flex tier.

    Its key stays that of the task.
    """
    if not asks_flex(request):
        return None
    document = orjson.loads(request.body)
    if document.get(TIER_KEY) != FLEX:
        return None
    del document[TIER_KEY]
    return replace(request, body=orjson.dumps(document))


def of_tier(verdict: Verdict, request: Request) -> Verdict:
    """Return the verdict on an attempt, in the sense of the request's tier: only the flex tier is refused for its capacity alone.

    The same words to a request of another tier are an ordinary limit of the rate.
    """
    error = verdict.error
    if error is None or error.code != NO_CAPACITY.code or asks_flex(request):
        return verdict
    code = "rate_limit" if error.http_status == HTTPStatus.TOO_MANY_REQUESTS else "overloaded"
    return replace(verdict, error=replace(error, code=code), reduce_concurrency=True)
