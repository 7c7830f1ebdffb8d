"""The circuit breaker, on a clock of numbers."""

from __future__ import annotations

import math

from batch.policy.breaker import DISTINCT_TASKS, FAULTS_IN_A_ROW, FIRST_PROBE_S, LONGEST_PROBE_S, Breaker


def opened() -> Breaker:
    breaker = Breaker()
    assert breaker.failed("a task", 0.0, unready=True)
    return breaker


def test_an_endpoint_that_is_not_ready_opens_it_at_once() -> None:
    """Fault 12: an endpoint that says that it loads gets nothing but probes."""
    breaker = opened()
    assert not breaker.closed
    assert breaker.hold(0.0) == FIRST_PROBE_S
    assert breaker.hold(FIRST_PROBE_S) == 0.0


def test_one_row_that_always_fails_never_opens_it() -> None:
    """A poisonous row is the row's fault, however often it fails."""
    breaker = Breaker()
    for _ in range(10 * FAULTS_IN_A_ROW):
        assert not breaker.failed("poison", 0.0, unready=False)
    assert breaker.closed


def test_many_rows_that_fail_with_no_success_between_open_it() -> None:
    """Fault 10: when different tasks fail in a row it is the endpoint."""
    breaker = Breaker()
    news = [breaker.failed(number % DISTINCT_TASKS, 0.0, unready=False) for number in range(FAULTS_IN_A_ROW)]
    assert news == [False] * (FAULTS_IN_A_ROW - 1) + [True]


def test_a_success_between_keeps_it_closed() -> None:
    """Fault 11: failures among successes are no outage."""
    breaker = Breaker()
    for number in range(10 * FAULTS_IN_A_ROW):
        assert not breaker.failed(number, 0.0, unready=False)
        if number % (FAULTS_IN_A_ROW - 1) == FAULTS_IN_A_ROW - 2:
            assert not breaker.served()
    assert breaker.closed


def test_only_one_probe_is_under_way() -> None:
    """While a probe is out nothing else is sent."""
    breaker = opened()
    breaker.sent("a task")
    assert breaker.hold(FIRST_PROBE_S) == math.inf


def test_failed_probes_come_ever_later_up_to_a_cap() -> None:
    """A dead endpoint is asked less and less often, but always again."""
    breaker, now, waits = opened(), 0.0, []
    for _ in range(8):
        now += breaker.hold(now)
        breaker.sent("a task")
        assert not breaker.failed("a task", now, unready=True)
        waits.append(breaker.hold(now))
    assert waits == sorted(waits)
    assert waits[0] == 2 * FIRST_PROBE_S
    assert waits[-1] == LONGEST_PROBE_S


def test_late_failures_of_requests_sent_before_do_not_delay_the_probe() -> None:
    """What was in flight when it opened tells nothing new."""
    breaker = opened()
    assert not breaker.failed("another", 0.9, unready=True)
    assert breaker.hold(0.9) < FIRST_PROBE_S
    breaker.sent("a task")
    assert not breaker.failed("another", 1.5, unready=True)
    assert breaker.hold(1.5) == math.inf


def test_a_short_patience_has_several_probes() -> None:
    """Fault 10: where the endpoint is given up after 2 s it is asked several times before that."""
    breaker, now, probes = Breaker(patience_s=2.0), 0.0, 0
    assert breaker.failed("a task", now, unready=True)
    while (now := now + breaker.hold(now)) < 2.0:
        breaker.sent("a task")
        breaker.failed("a task", now, unready=True)
        probes += 1
    assert 5 <= probes <= 20


def test_a_success_closes_it_and_forgets() -> None:
    """After an outage the endpoint starts afresh."""
    breaker = opened()
    breaker.sent("a task")
    assert breaker.served()
    assert breaker.closed
    assert breaker.hold(100.0) == 0.0
    assert not breaker.served()
