"""FixedConcurrency, retry budget, and the words for what changed."""

from __future__ import annotations

from batch.policy.changes import differences
from batch.policy.limits.fixed import CUT, FixedConcurrency
from batch.policy.retry_budget import RetryBudget


def test_one_episode_of_refusals_cuts_the_limit_once() -> None:
    """Fault 1: a 429 to each of a hundred requests that were in flight together is one event."""
    concurrency = FixedConcurrency(100)
    cuts = [concurrency.refused(sent_at=1.0, now=2.0 + number / 1000) for number in range(100)]
    assert cuts == [True] + [False] * 99
    assert concurrency.limit == int(100 * CUT)


def test_a_refusal_of_a_later_request_cuts_again() -> None:
    """Requests that were sent after the cut tell something new."""
    concurrency = FixedConcurrency(100)
    concurrency.refused(sent_at=1.0, now=2.0)
    assert concurrency.refused(sent_at=2.5, now=3.0)


def test_the_limit_never_falls_below_one_and_grows_back_to_the_most() -> None:
    """Cuts end at one request; answers bring the limit back, never beyond what was asked for."""
    concurrency = FixedConcurrency(8)
    for number in range(50):
        concurrency.refused(sent_at=float(number), now=number + 0.5)
    assert concurrency.limit == 1
    for _ in range(1000):
        concurrency.served(0.0, 1.0, 1)
    assert concurrency.limit == 8


def test_tasks_that_are_retried_are_a_share_of_all_plus_a_floor() -> None:
    """Promise 6: however an endpoint fails, no more than a stated share of a run's tasks is retried, beyond the floor."""
    budget, retried = RetryBudget(floor=10, share=0.5), 0
    for _ in range(1000):
        budget.sent(first=True, retried=False)
        if budget.allows_retry:
            budget.sent(first=False, retried=True)
            retried += 1
    assert retried <= 10 + 0.5 * 1000
    assert retried >= 0.5 * 1000


def test_further_attempts_of_a_few_tasks_spend_no_budget() -> None:
    """Fault 62: few rows that fail each time use up their own attempts, not the budget of the run."""
    budget = RetryBudget(floor=0, share=0.5)
    for _ in range(4):
        budget.sent(first=True, retried=False)
    budget.sent(first=False, retried=True)
    for _ in range(100):
        budget.sent(first=False, retried=False)
    assert budget.allows_retry


def test_differences_are_said_in_words() -> None:
    """Promise 9: an explained refusal names what changed and how."""
    old = {"model": "m", "parameters": {"temperature": 0, "stop": ["x"]}, "prompt": {"user": "a" * 100}}
    new = {"model": "m", "parameters": {"temperature": 0.7, "top_p": 0.9, "stop": ["x"]}, "prompt": {"user": "b" * 100}}
    assert differences(old, new) == ["parameters.temperature 0 → 0.7", "parameters.top_p none → 0.9", "prompt.user changed"]
    assert differences(old, old) == []
