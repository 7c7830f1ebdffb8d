"""Sends a row at the standard tier when the cheaper one that it asked for has used up its attempts, where the job allows that."""

from __future__ import annotations

from batch.engine.work import Work
from batch.policy.dialects import NO_CAPACITY
from batch.policy.tiers import SLOW, at_standard_tier
from batch.records import ErrorInfo
from batch.settings import RunSettings
from batch.tally import Tally


def falls_back(work: Work, error: ErrorInfo, run: RunSettings, tally: Tally, *, spent: bool) -> bool:
    """Change `work` to a request at the standard tier, and return True, if run.flex_fallback allows it and it is time.

    It is when the flex tier was without capacity run.attempts times, or when the row has no attempt or time left (`spent`) and the
    tier was slow. The row then has at least one attempt left, and its whole time.
    """
    is_full = error.code == NO_CAPACITY.code
    work.without_capacity += is_full
    if not run.flex_fallback or work.fell_back or not (is_full or error.code in SLOW):
        return False
    if not spent and work.without_capacity < run.attempts:
        return False
    request = at_standard_tier(work.request)
    if request is None:
        return False
    work.mended, work.fell_back = request, True
    work.attempts = min(work.attempts, run.attempts - 1)
    work.first_sent = None
    work.charged_retry = False
    tally.fallbacks += 1
    return True
