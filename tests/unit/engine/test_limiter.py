"""The pace of one endpoint: when it is given up, and what is said then. Times are made up, nothing waits."""

from __future__ import annotations

import math
import random

import pytest

from batch.engine.limiter import EndpointLimiter
from batch.engine.work import Work
from batch.policy.breaker import LONGEST_PROBE_S
from batch.policy.limits.shared import LeasedBucket, LeasedConcurrency
from batch.policy.rate_limiter import RateLimiter
from batch.policy.verdicts import Action, Verdict
from batch.records import ErrorInfo, ErrorKind, Exchange, Request, Task
from batch.settings import RunSettings

PATIENCE_S = 60.0
REFUSED = ErrorInfo(ErrorKind.API, "rate_limit", "slow down", 429)
BROKEN = ErrorInfo(ErrorKind.API, "server", "boom", 500)


def pace() -> EndpointLimiter:
    """An endpoint's pace with a minute of patience."""
    return EndpointLimiter("house", RunSettings(concurrency=4, outage_timeout_s=PATIENCE_S), rng=random.Random(1))


def work() -> Work:
    """Some row's work."""
    return Work(Task(0, "r0", "house/m", 0, Request("chat/completions", b"{}", bytes(16))))


def answered(sent_at: float, done_at: float) -> Exchange:
    """An answer."""
    return Exchange(status=200, headers={}, body=b"{}", reply=None, fault=None, sent_at=sent_at, first_token_at=None, done_at=done_at)


def fails(pace: EndpointLimiter, *, sent_at: float, now: float, wait: float | None = None) -> None:
    """An attempt that was sent at `sent_at` fails at `now`, and the endpoint asks to wait for `wait` seconds."""
    error = BROKEN if wait is None else REFUSED
    pace.postpone(
        work().task,
        0,
        Verdict(Action.RETRY, error, wait, charged=wait is None, reduce_concurrency=wait is not None, may_be_billed_twice=False),
        sent_at,
        now,
    )


def test_only_an_attempt_sent_after_the_deadline_tells_that_it_was_asked_in_vain() -> None:
    """Promise 7: what was sent before the outage's deadline says nothing about the time after it."""
    house = pace()
    fails(house, sent_at=0.0, now=10.0)
    assert house.outage_deadline == 70.0
    fails(house, sent_at=69.9, now=80.0)
    assert not house.failed_late
    fails(house, sent_at=70.0, now=80.0)
    assert house.failed_late
    assert house.hold(1000.0) == math.inf
    house.put_off(5.0)
    assert not house.failed_late


@pytest.mark.parametrize(
    ("wait", "now", "too_much"),
    [(59.0, 1.0, False), (60.0, 1.0, True), (900.0, 1.0, True), (900.0, 901.5, False)],
    ids=["within the deadline", "up to the deadline", "beyond", "over already"],
)
def test_a_wait_beyond_the_deadline_is_too_much_until_it_is_over(wait: float, now: float, too_much: bool) -> None:
    """Promise 7: a wait that outlasts the outage's deadline is not waited out; one that is over already is no reason to stop."""
    house = pace()
    fails(house, sent_at=0.0, now=1.0, wait=wait)
    assert house.asks_too_long(now) is too_much


@pytest.mark.parametrize(("wait", "too_much"), [(50.0, False), (900.0, True)])
def test_a_wait_is_too_much_also_when_it_served_since_it_asked(wait: float, too_much: bool) -> None:
    """Promise 7: a straggler's answer ends the outage, but not the wait: one longer than any outage is waited for stays too long."""
    house = pace()
    fails(house, sent_at=0.0, now=1.0, wait=wait)
    house.served("house/m", answered(0.5, 2.0))
    assert house.outage_deadline is None
    assert house.asks_too_long(2.0) is too_much


def test_the_sentences_of_giving_up_say_what_was_asked_for() -> None:
    """A person reads why: a long wait, one that ends beyond the patience, or nothing but silence."""
    parked, asked, silent = pace(), pace(), pace()
    fails(parked, sent_at=0.0, now=1.0, wait=900.0)
    assert parked.outage(1.0) == "house asks to wait for 900 s, and run.outage_timeout_s is 60 s: slow down"
    fails(asked, sent_at=0.0, now=1.0)
    fails(asked, sent_at=0.0, now=31.0, wait=40.0)
    assert asked.outage(31.0) == "house has served nothing for 30 s and asks to wait for 40 s more, beyond run.outage_timeout_s: slow down"
    fails(silent, sent_at=0.0, now=1.0)
    assert silent.outage(61.0) == "house has served nothing for 60 s (run.outage_timeout_s): boom"


def test_an_endpoint_that_could_not_be_reached_before_anything_was_sent_is_probed() -> None:
    """Faults 13, 33: one row at a time goes out until it serves, and the time counts as an outage."""
    house = pace()
    notice = house.unready(ErrorInfo(ErrorKind.NETWORK, "resolve", "the host name could not be resolved"), 5.0)
    assert notice == "house is out of order (the host name could not be resolved); probing until it serves again, for up to 60 s"
    assert house.outage_deadline == 65.0
    assert 0 < house.hold(5.0) < PATIENCE_S
    house.sent(work().task, work().request, 10.0, first=True, retried=False)
    assert house.hold(10.0) == math.inf
    assert house.served(
        "house/m", Exchange(status=200, headers={}, body=b"{}", reply=None, fault=None, sent_at=10.0, first_token_at=None, done_at=11.0)
    )
    assert house.hold(11.0) == 0.0
    assert house.outage_deadline is None


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_rate_is_learned_from_refusals_also_where_other_workers_send(is_shared: bool) -> None:
    """Fault 1: of 30 requests a second 20 are served, without a header that says so: soon fewer are sent, by a worker of several too."""
    shared = LeasedConcurrency(8)
    shared.grant(8)
    run = RunSettings(concurrency="auto", outage_timeout_s=PATIENCE_S)
    house = EndpointLimiter("house", run, rng=random.Random(1), concurrency=shared if is_shared else None)
    limited = Verdict(Action.RETRY, REFUSED, None, charged=False, reduce_concurrency=True)
    rates: list[int] = []
    for second in range(30):
        sent = 0
        for tick in range(30):
            now = second + tick / 30
            if house.learned.hold(now) > 0:
                continue
            sent += 1
            ticket = house.sent(work().task, work().request, now, first=True, retried=False)
            done = answered(now, now + 0.01)
            house.ended(ticket, done)
            if sent <= 20:
                house.served("house/m", done)
            else:
                house.postpone(work().task, 1, limited, now, now + 0.01)
        rates.append(sent)
    assert rates[0] > 25
    assert max(rates[10:]) <= 22
    assert min(rates[10:]) >= 15


def test_a_variant_that_is_never_served_is_late_while_others_are_served() -> None:
    """Promise 7: each variant has a clock of its own, which only an answer to it stops."""
    house = pace()
    house.refused(work().task, BROKEN, 0.0, 1.0, testable=False)
    house.served("house/other", answered(2.0, 3.0))
    assert house.late_variants(60.9) == {}
    assert house.late_variants(61.0) == {"house/m": "boom"}
    house.served("house/m", answered(62.0, 63.0))
    assert house.late_variants(200.0) == {}


def test_short_pauses_that_follow_each_other_are_reported_once_a_minute() -> None:
    """A user reads one line for a minute of pauses of a second each, and every pause that is long."""
    house = pace()
    waits = [*((float(now), 1.0) for now in range(0, 90, 3)), (90.0, 30.0)]
    said = [
        house.postpone(work().task, 0, Verdict(Action.RETRY, REFUSED, wait, charged=False, reduce_concurrency=True), now, now)[1]
        for now, wait in waits
    ]
    assert [notice for notice in said if notice] == [*["house paused for 1 s (rate_limit)"] * 2, "house paused for 30 s (rate_limit)"]


@pytest.mark.parametrize("lasts_s", [5.0, 30.0, 90.0, 300.0])
@pytest.mark.parametrize("seed", range(5))
def test_an_endpoint_that_refused_without_a_wait_is_found_soon_after_it_serves(lasts_s: float, seed: int) -> None:
    """503s that name no wait (case R12): the first answer comes one probe interval after the endpoint serves again, at most."""
    house = EndpointLimiter("house", RunSettings(concurrency=4, outage_timeout_s=600.0), rng=random.Random(seed))
    overloaded = ErrorInfo(ErrorKind.API, "overloaded", "try again later", 503)
    verdict = Verdict(Action.RETRY, overloaded, None, charged=False, reduce_concurrency=True, may_be_billed_twice=False)
    now, tries = 0.0, 0
    while now < lasts_s:
        task, request = work().task, work().request
        ticket = house.sent(task, request, now, first=tries == 0, retried=tries > 0)
        tries += 1
        refusal = Exchange(status=503, headers={}, body=b"", reply=None, fault=None, sent_at=now, first_token_at=None, done_at=now + 0.05)
        house.ended(ticket, refusal)
        due, _ = house.postpone(task, tries, verdict, now, now + 0.05)
        now = max(due, now + 0.05 + house.hold(now + 0.05))
    assert now <= lasts_s + 0.05 + LONGEST_PROBE_S
    assert tries <= 10 + lasts_s / 2


def test_a_worker_that_waits_for_its_share_of_a_rate_says_nothing_of_a_long_delay() -> None:
    """The next check-in brings it, soon and at no known time: "in inf s" would say nothing. A known long delay is said once."""
    run = RunSettings(concurrency=4, requests_per_minute=600)
    shared = EndpointLimiter(
        "house", run, rng=random.Random(1), rates=RateLimiter(600, None, lambda kind, _: LeasedBucket() if kind == "requests" else None)
    )
    assert shared.hold(0.0) == math.inf
    assert shared.long_hold(0.0) is None
    alone = EndpointLimiter("house", RunSettings(concurrency=4, requests_per_minute=1), rng=random.Random(1))
    alone.sent(work().task, work().request, 0.0, first=True, retried=False)
    assert alone.long_hold(0.0) == "house: its rate is used up; the next request may be sent in 60 s"
    assert alone.long_hold(1.0) is None
