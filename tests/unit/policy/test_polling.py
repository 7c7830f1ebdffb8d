"""When a batch is looked at again: whatever the clocks do."""

from __future__ import annotations

from batch.policy.polling import MAX_POLL_S, Polling


def test_the_first_look_is_at_once() -> None:
    """A batch that was just created is looked at, then after the job's time."""
    poll = Polling(60.0)
    assert poll.is_due(1e9, 5.0)
    poll.looked(1e9, 5.0, changed=True)
    assert not poll.is_due(1e9 + 59, 64.0)
    assert poll.is_due(1e9 + 60, 65.0)


def test_a_laptop_that_slept_looks_when_it_wakes() -> None:
    """The monotonic clock stood still for two hours, the wall clock did not: it is time."""
    poll = Polling(60.0)
    poll.looked(1e9, 5.0, changed=True)
    assert poll.is_due(1e9 + 7200, 6.0)
    assert poll.remaining_s(1e9 + 7200, 6.0) == 0.0


def test_a_clock_set_back_does_not_hold_up_the_looks() -> None:
    """The wall clock jumps back a year: the monotonic one says when to look."""
    poll = Polling(60.0)
    poll.looked(1e9, 5.0, changed=True)
    assert not poll.is_due(1e9 - 3e7, 30.0)
    assert poll.is_due(1e9 - 3e7, 65.0)


def test_looks_get_rarer_while_nothing_changes() -> None:
    """Up to 15 minutes, or the job's own time where that is longer; a change brings the first interval back, a provider's wait counts."""
    poll, now = Polling(60.0), 0.0
    for _ in range(20):
        poll.looked(now, now, changed=False)
        assert 60.0 <= poll.remaining_s(now, now) <= MAX_POLL_S
        now += poll.remaining_s(now, now)
    assert poll.remaining_s(now - MAX_POLL_S, now - MAX_POLL_S) == MAX_POLL_S
    poll.looked(now, now, changed=True)
    assert poll.remaining_s(now, now) == 60.0
    poll.looked(now, now, changed=True, asked_s=300.0)
    assert poll.remaining_s(now, now) == 300.0
    rare = Polling(3600.0)
    rare.looked(0.0, 0.0, changed=False)
    rare.looked(0.0, 0.0, changed=False)
    assert rare.remaining_s(0.0, 0.0) == 3600.0


def test_news_that_come_during_a_look_are_looked_at_again() -> None:
    """What is told while a look is under way may not be in its reply: the next look is due at once, and the one after it in its time."""
    poll = Polling(3600.0)
    poll.begin()
    poll.expire()
    poll.looked(10.0, 10.0, changed=False)
    assert poll.is_due(10.0, 10.0)
    poll.begin()
    poll.looked(11.0, 11.0, changed=False)
    assert not poll.is_due(100.0, 100.0)
    poll.expire()
    assert poll.is_due(100.0, 100.0)
