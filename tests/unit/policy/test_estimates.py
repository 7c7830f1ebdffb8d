"""What is expected of requests by the answers that there are."""

from __future__ import annotations

import pytest

from batch.policy.estimates import AnswerSample

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


@pytest.mark.parametrize(
    ("times", "at_once"),
    [
        ([(0.0, 2.0)], 1.0),
        ([(0.0, 2.0), (2.0, 4.0)], 1.0),
        ([(0.0, 2.0), (0.0, 2.0), (2.0, 4.0), (2.0, 4.0)], 2.0),
        ([(0.0, 1.0), (0.0, 4.0), (1.0, 4.0)], 2.0),
        ([(3600.0, 3602.0), (3600.0, 3602.0), (0.0, 2.0), (0.0, 2.0)], 2.0),
        ([], 1.0),
        ([(1.0, 1.0)], 1.0),
    ],
    ids=["one", "one by one", "two at once", "uneven", "an hour between two sessions", "none", "no time at all"],
)
def test_how_many_were_in_flight(times: list[tuple[float, float]], at_once: float) -> None:
    """The mean over the time in which any was waited for: a pause between sessions does not count."""
    sample = AnswerSample()
    for sent, done in times:
        sample.add(100, USAGE, sent, done)
    assert sample.in_flight == pytest.approx(at_once)
