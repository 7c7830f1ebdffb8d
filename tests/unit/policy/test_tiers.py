"""The flex tier: its refusals, its waits, and the same request at the standard tier."""

from __future__ import annotations

import orjson

from batch.policy.tiers import NOTICE_INTERVAL_S, CapacityRefusals, asks_flex, at_standard_tier, of_tier
from batch.policy.verdicts import Action, Verdict
from batch.policy.waits import CAPACITY_CAP_S
from batch.records import ErrorInfo, ErrorKind, Request


def request(**members: object) -> Request:
    """A request with these members, and a text that quotes the tier."""
    content = 'say {"service_tier":"flex"}'
    return Request("chat/completions", orjson.dumps({"messages": [{"role": "user", "content": content}], **members}), bytes(16))


FULL = Verdict(Action.RETRY, ErrorInfo(ErrorKind.API, "no_capacity", "Resource unavailable", 429), charged=False)


def test_only_a_request_that_asks_for_it_is_of_the_tier() -> None:
    """A prompt that quotes the parameter asks for nothing, nor does a nested member; the changed request differs in nothing else."""
    assert asks_flex(request(service_tier="flex"))
    assert not asks_flex(request())
    assert not asks_flex(request(service_tier="default"))
    made = at_standard_tier(request(service_tier="flex", seed=1))
    assert made is not None
    assert orjson.loads(made.body) == orjson.loads(request(seed=1).body)
    assert made.key == bytes(16)
    assert at_standard_tier(request(metadata={"service_tier": "flex"})) is None


def test_the_same_words_to_another_tier_limit_the_rate() -> None:
    """A 429 "resource unavailable" for flex slows nothing down; for a request of another tier it does."""
    assert of_tier(FULL, request(service_tier="flex")) is FULL
    other = of_tier(FULL, request())
    assert other.error is not None
    assert (other.error.code, other.reduce_concurrency, other.charged) == ("rate_limit", True, False)


def test_waits_grow_up_to_a_minute_and_are_never_shorter_than_asked() -> None:
    """Exponential, with jitter; a wait that the server names is kept; one notice a minute."""
    refusals = CapacityRefusals()
    waits = [refusals.refused(tries, None, 0.0, 1.0)[0] for tries in range(1, 12)]
    assert waits == [min(CAPACITY_CAP_S, 0.5 * 2**n) for n in range(11)]
    assert refusals.refused(1, 300.0, 10.0, 0.0) == (310.0, None)
    assert refusals.refused(1, None, NOTICE_INTERVAL_S, 0.0)[1] is not None
