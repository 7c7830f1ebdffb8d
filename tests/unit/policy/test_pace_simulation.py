"""The pace that `concurrency = "auto"` finds on models of endpoints (goal P9), and the rates of [run]."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch.policy.rate_limiter import Bucket, RateLimiter
from tests.simulation_pace.play import BIN_S, play
from tests.simulation_pace.servers import MODELS, RATES, Model
from tests.simulation_pace.shares import best

KNEES = {"queues over 64": 64, "batches up to 256, then queues": 256, "heavy-tailed answers, batches to 256": 256}

# Seconds of models with hundreds of requests at a time, which play slowly. At full length they are in `make test-long`.
SHORT = {
    "refuses over 500": 150.0,
    "queues over 64": 300.0,
    "batches up to 256, then queues": 300.0,
    "starts slowly, refuses": 600.0,
    "starts slowly, queues": 600.0,
    "limit changes, refuses": 600.0,
    "limit changes, queues": 600.0,
    "noisy neighbour, refuses": 600.0,
    "noisy neighbour, queues": 600.0,
    "heavy-tailed answers, batches to 256": 300.0,
}
PLAYED = [
    *(pytest.param(replace(model, duration=SHORT.get(model.name, model.duration)), id=model.name) for model in MODELS),
    *(pytest.param(model, id=f"{model.name}, all of it", marks=pytest.mark.long) for model in MODELS if model.name in SHORT),
]


@pytest.mark.parametrize("model", PLAYED)
def test_auto_finds_the_pace(model: Model) -> None:
    """P9: after 60 s (5 % of a whole run) >= 90 % of the best fixed throughput; <= 2 % refused; in flight <= 1.5 x the knee."""
    trace = play(model)
    settled = trace.throughput(60, model.duration)
    if model.per_minute is None:
        assert settled >= 0.9 * best(model)
    else:
        answers = sum(count for number, count in trace.answers.items() if number >= 60 / BIN_S)
        assert answers >= 0.9 * model.per_minute / 60 * (model.duration - 60)
    assert trace.refused <= 0.02 * trace.sent
    if model.name in KNEES:
        assert trace.mean_in_flight(60, model.duration) <= 1.5 * KNEES[model.name]


@pytest.mark.parametrize("model", RATES, ids=lambda model: model.name)
def test_a_rate_that_no_header_tells_is_learned_from_refusals(model: Model) -> None:
    """After the first minute at most 3 % are refused, and at least 90 % of the rate is used."""
    trace = play(model)
    assert trace.refused_share(60) <= 0.03
    assert model.per_minute is not None
    seen = sum(
        (trace.tokens if model.counts_tokens else trace.answers).get(number, 0)
        for number in range(int(60 / BIN_S), int(model.duration / BIN_S))
    )
    assert seen >= 0.9 * model.per_minute / 60 * (model.duration - 60)


def test_a_rate_is_held_in_any_ten_seconds() -> None:
    """requests_per_minute: no more than 2 % over in any 10 s, and no less than 98 % of it over all."""
    model = replace(MODELS[0], slots=lambda t: 1e9, duration=300.0)
    arrivals = play(model, concurrency=500, requests_per_minute=3000).arrivals
    assert len(arrivals) >= 0.98 * 3000 * 5
    most = 510
    assert all(late - early > 10 for early, late in zip(arrivals, arrivals[most:], strict=False))


def test_tokens_are_corrected_by_usage() -> None:
    """tokens_per_minute: an estimate that was too high is given back, so that the rate is of real tokens."""
    rates, now, real = RateLimiter(None, 60_000), 0.0, 0
    body = b'{"max_tokens":4000,"messages":[]}'
    while now < 600:
        ticket = rates.sent(body, now)
        usage = {"prompt_tokens": 10, "completion_tokens": 90}
        rates.ended(ticket, {}, usage, now, refused=False)
        real += 100
        now += max(rates.hold(now), 0.001)
    assert 0.97 * 600_000 <= real <= 1.02 * 600_000


def test_no_usage_holds_a_run_for_ever() -> None:
    """tokens_per_minute: an answer is counted for no more tokens than its request could take, whatever its usage says."""
    rates = RateLimiter(None, 60_000)
    ticket = rates.sent(b'{"max_tokens":1000,"messages":[]}', 0.0)
    rates.ended(ticket, {}, {"prompt_tokens": 10**12, "completion_tokens": 10**12}, 0.1, refused=False)
    assert 0 < rates.hold(0.1) < 3.0


def test_headers_hold_before_a_refusal_and_junk_does_not() -> None:
    """FAULTS, waits: remaining 0 holds until the reset; -1, text and a time of day are ignored."""
    said = (("0", "1m30s", 90.0), ("0", "150s", 150.0), ("-1", "1s", 0.0), ("0", "-1", 0.0), ("none", "1s", 0.0), ("0", "1795369000", 0.0))
    for remaining, reset, hold in said:
        rates = RateLimiter(None, None)
        ticket = rates.sent(b"{}", 0.0)
        headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": reset}
        rates.ended(ticket, headers, None, 1.0, refused=False)
        assert rates.hold(1.0) == hold


@pytest.mark.parametrize(
    ("stated", "hold"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 27 Nov 2026 02:00:05 GMT", "date": "Fri, 27 Nov 2026 02:00:00 GMT"}, 5.0),
        ({"retry-after": "600"}, 360.0),
        ({"retry-after": "0"}, 360.0),
        ({"retry-after": "soon"}, 360.0),
        ({}, 360.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_wait_that_a_refusal_states_outranks_the_reset_of_a_whole_quota(kind: str, stated: dict[str, str], hold: float) -> None:
    """Promise 6: a reset is when all of a quota is back, Retry-After when the next request fits: the shorter of the two holds."""
    rates = RateLimiter(None, None)
    ticket = rates.sent(b"{}", 0.0)
    headers = {f"x-ratelimit-remaining-{kind}": "0", f"x-ratelimit-reset-{kind}": "6m0s"}
    rates.ended(ticket, headers | stated, None, 1.0, refused=True)
    assert rates.hold(1.0) == pytest.approx(hold)


def test_a_bucket_that_was_idle_gives_no_more_than_its_burst() -> None:
    """An hour without requests does not allow an hour's requests at once."""
    bucket, at_once = Bucket(6000), 0
    bucket.take(1, 0.0)
    while bucket.hold(3600.0) == 0:
        bucket.take(1, 3600.0)
        at_once += 1
    assert at_once <= 21
