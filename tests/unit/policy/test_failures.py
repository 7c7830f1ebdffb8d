"""When failed rows end a run."""

from __future__ import annotations

import pytest

from batch.policy.failures import ALL_ALIKE, FailureLimit
from batch.records import ErrorInfo, ErrorKind
from batch.tally import Tally

BAD = ErrorInfo(ErrorKind.API, "bad_request", "no such parameter")


def tally(failed: int, ok: int = 0, *, code: str = "bad_request", kept_ok: int = 0, others: int = 0) -> Tally:
    """A tally with these counts; `others` of the failures have another code."""
    failures = {code: failed - others} | ({"reset": others} if others else {})
    return Tally(total=1000, failed=failed, ok=ok, kept_ok=kept_ok, failures=failures)


@pytest.mark.parametrize(
    ("limit", "counts", "ends"),
    [
        (0, tally(1), True),
        (5, tally(5), False),
        (5, tally(6, 900), True),
        ("10%", tally(19), False),
        ("10%", tally(20, 179), True),
        ("10%", tally(20, 180), False),
        ("0%", tally(20, 900), True),
        ("100%", tally(500), False),
        (None, tally(ALL_ALIKE), True),
        (None, tally(ALL_ALIKE - 1), False),
        (None, tally(ALL_ALIKE, 1), False),
        (None, tally(ALL_ALIKE, kept_ok=1), False),
        (None, tally(ALL_ALIKE, others=1), False),
        (1000, tally(ALL_ALIKE), False),
    ],
)
def test_limits(limit: int | str | None, counts: Tally, ends: bool) -> None:
    """A number, a share of the outcomes from 20 failures on, or none: then 20 alike without any answer, in this session or before."""
    assert (FailureLimit(limit).exceeded([counts], counts, BAD) is not None) == ends


@pytest.mark.parametrize(("kind", "code", "ends"), [
    (ErrorKind.INPUT, "missing_column", True),
    (ErrorKind.API, "context_length", True),
    (ErrorKind.API, "content_filter", False),
    (ErrorKind.NETWORK, "timeout_idle", False),
])  # fmt: skip
def test_only_reasons_that_the_next_row_meets_as_well(kind: ErrorKind, code: str, ends: bool) -> None:
    """Filters are about each row, and the wire about the moment: neither ends a run by itself."""
    counts = tally(ALL_ALIKE, code=code)
    assert (FailureLimit(None).exceeded([counts], counts, ErrorInfo(kind, code, "why")) is not None) == ends


def test_a_limit_counts_all_variants() -> None:
    """The limit is the run's; the first failures are counted for each variant."""
    broken, fine = tally(ALL_ALIKE), tally(1, 500)
    assert FailureLimit(ALL_ALIKE).exceeded([broken, fine], fine, BAD) is not None
    assert FailureLimit(None).exceeded([broken, fine], broken, BAD) is not None
    assert FailureLimit(None).exceeded([broken, fine], fine, BAD) is None
