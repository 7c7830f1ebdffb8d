"""Whose fault a refusal is, on a clock of numbers: promise 13, faults 62 to 64."""

from __future__ import annotations

import pytest

from batch.policy.blame import DISTINCT_REFUSED, DISTINCT_RETRIED, MOST_PATIENCE, OF_THE_ROW, Blame, Evidence, blame
from batch.policy.verdicts import Action, Verdict
from batch.records import ErrorInfo, ErrorKind


def refusal(action: Action, code: str) -> Verdict:
    """A verdict on a refused attempt."""
    return Verdict(action, ErrorInfo(ErrorKind.API, code, "no"))


BAD, BROKEN, LIMITED = refusal(Action.FAIL, "bad_request"), refusal(Action.RETRY, "server_error"), refusal(Action.RETRY, "rate_limit")


def suspicious(distinct: int) -> Evidence:
    """An endpoint at which so many tasks failed since it served."""
    evidence = Evidence()
    evidence.served(0.0)
    for task in range(distinct):
        evidence.failed(task)
    return evidence


@pytest.mark.parametrize("code", sorted(OF_THE_ROW))
def test_what_an_endpoint_says_of_the_row_is_the_rows(code: str) -> None:
    """A prompt that is too long is too long, whatever else the endpoint refuses."""
    assert blame(refusal(Action.FAIL, code), suspicious(50), spent=True, has_reference=True) is Blame.ROW


def test_a_refusal_without_a_word_of_its_own_is_unclear_until_the_endpoint_can_be_tested() -> None:
    """Fault 63: a 400 may be the endpoint's; where nothing was ever answered there is nothing to test it with."""
    assert blame(BAD, suspicious(0), spent=True, has_reference=True) is Blame.UNCLEAR
    assert blame(BAD, Evidence(), spent=True, has_reference=False) is Blame.ROW


def test_a_task_with_attempts_left_is_retried() -> None:
    """Promise 6: what may pass is tried again before anything is blamed."""
    assert blame(BROKEN, suspicious(50), spent=False, has_reference=True) is Blame.RETRY


def test_a_task_that_used_up_its_attempts_waits_for_an_answer_to_another() -> None:
    """Fault 62: with a reference at hand no row is failed before its endpoint has served a later request."""
    assert blame(BROKEN, suspicious(1), spent=True, has_reference=True) is Blame.UNCLEAR


def test_without_an_answer_few_tasks_are_to_blame_themselves_and_several_are_not() -> None:
    """Fault 10: where nothing was answered yet, one or two rows say nothing against the endpoint; DISTINCT_RETRIED do."""
    few, several = suspicious(DISTINCT_RETRIED - 1), suspicious(DISTINCT_RETRIED)
    assert blame(BROKEN, few, spent=True, has_reference=False, has_others=True) is Blame.ROW
    assert blame(BROKEN, several, spent=True, has_reference=False, has_others=True) is Blame.UNCLEAR
    assert blame(BROKEN, several, spent=True, has_reference=False) is Blame.UNCLEAR
    assert blame(BROKEN, few, spent=True, has_reference=False) is Blame.ROW
    assert blame(BAD, several, spent=True, has_reference=False) is Blame.ROW
    # An odd reply with a status of success may be billed: the last rows are not sent for ever.
    odd = Verdict(Action.RETRY, ErrorInfo(ErrorKind.PROTOCOL, "not_json", "<html>", 200))
    assert blame(odd, several, spent=True, has_reference=False) is Blame.ROW
    assert blame(odd, several, spent=True, has_reference=False, has_others=True) is Blame.UNCLEAR
    assert blame(BROKEN, few, spent=True, has_reference=False, has_others=True, is_open=True) is Blame.UNCLEAR


def test_a_rate_limit_never_fails_a_row_untested() -> None:
    """Fault 64: that others are served while one is refused must be seen, not assumed."""
    assert blame(LIMITED, suspicious(0), spent=True, has_reference=True) is Blame.UNCLEAR


def test_what_ends_a_run_is_the_runs() -> None:
    """Fault 3: no money is nobody's row, where nothing was answered yet; else the endpoint must say it of what it answered before, too."""
    assert blame(refusal(Action.STOP, "quota"), suspicious(0), spent=True, has_reference=False) is Blame.RUN
    assert blame(refusal(Action.STOP, "quota"), suspicious(0), spent=True, has_reference=True) is Blame.UNCLEAR


def test_the_reference_is_no_row() -> None:
    """Promise 13: that an endpoint serves the reference does not show that it serves other rows."""
    evidence = Evidence()
    evidence.served(5.0, by_reference=True)
    assert evidence.served_after(5.0)
    assert not evidence.served_row_after(5.0)
    evidence.served(6.0)
    assert evidence.served_row_after(6.0)


def test_only_an_answer_to_a_later_request_clears_the_endpoint() -> None:
    """Fault 63: an answer that was on its way when the endpoint turned off says nothing about the time after."""
    evidence = Evidence()
    evidence.served(9.9)
    assert not evidence.served_after(10.0)
    evidence.served(10.1)
    assert evidence.served_after(10.0)


def test_each_refuted_suspicion_doubles_what_the_next_one_takes() -> None:
    """Promise 13: a block of bad rows costs a number of tests that grows with its logarithm; an ordinary answer ends the block."""
    evidence, needed = Evidence(), []
    for _ in range(9):
        count = 0
        while not evidence.suspects(DISTINCT_REFUSED):
            evidence.failed(count)
            count += 1
        needed.append(count // DISTINCT_REFUSED)
        evidence.served(0.0, by_reference=True)
    assert needed == [1, 2, 4, 8, 16, 32, MOST_PATIENCE, MOST_PATIENCE, MOST_PATIENCE]
    evidence.served(1.0)
    for task in range(DISTINCT_REFUSED):
        evidence.failed(task)
    assert evidence.suspects(DISTINCT_REFUSED)


def test_a_condemned_endpoint_stays_suspect_until_it_serves() -> None:
    """Fault 63: after the reference was refused, each further refusal is the endpoint's."""
    evidence = Evidence()
    evidence.condemn()
    assert evidence.suspects(DISTINCT_REFUSED)
    evidence.served(1.0, by_reference=True)
    assert not evidence.suspects(DISTINCT_REFUSED)


def test_a_row_that_was_sent_while_others_failed_too_is_told_from_one_that_was_not() -> None:
    """Promise 13: the answer to another may come before that row's own refusal, so the outage is remembered by when requests were sent."""
    evidence = suspicious(DISTINCT_RETRIED)
    assert evidence.failed_others(5.0, others=True)
    assert not evidence.failed_others(5.0, others=False)
    evidence.served(9.0)
    assert [evidence.failed_others(sent_at, others=True) for sent_at in (0.0, 0.1, 8.9, 9.0, 9.1)] == [False, True, True, False, False]
    evidence.failed("one")
    evidence.served(12.0)
    assert evidence.failed_others(5.0, others=False)
    assert not evidence.failed_others(11.0, others=True)


def test_an_endpoint_has_recovered_when_an_ordinary_row_is_served_and_not_by_its_test() -> None:
    """Promise 13: the first rows that failed of many are told from bad ones only after the others have failed, and one was served."""
    evidence = suspicious(DISTINCT_RETRIED)
    evidence.served(9.0, by_reference=True)
    assert evidence.was_out(5.0)
    assert not evidence.recovered(5.0)
    evidence = suspicious(DISTINCT_RETRIED)
    evidence.served(9.0)
    assert evidence.recovered(5.0)
    assert not evidence.recovered(9.5)
