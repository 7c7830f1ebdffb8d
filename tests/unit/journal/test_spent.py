"""What journals say was spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.journal.lines import decode, encode
from batch.journal.summary_files import spent_usd
from batch.records import ErrorInfo, ErrorKind, Outcome
from tests.support.stores import write_journal

KEY = bytes(16)
TRICKY: list[Any] = [
    {"cost_usd": 7},
    {"response": {"cost_usd": 7}, "cost_usd": 8},
    {"note": '"cost_usd":9,"doubled":1,"extra_usd":9'},
    None,
]


def outcome(cost: float | None, extra: float = 0.0, **fields: Any) -> Outcome:
    """An outcome with these costs."""
    return Outcome(0, "0", 0, KEY, 1, **{"cost_usd": cost, "extra_usd": extra, **fields})


@given(
    cost=st.one_of(st.none(), st.floats(0, 1e4)),
    extra=st.floats(0, 1e4),
    usage=st.sampled_from(TRICKY),
    doubled=st.integers(0, 3),
    copy_of=st.one_of(st.none(), st.integers(0, 9)),
    failed=st.booleans(),
    body=st.sampled_from([None, b'{"cost_usd":5}', b'{"a":{"response":1,"cost_usd":6}}']),
)
def test_a_record_tells_what_it_cost(tmp_path_factory: Any, body: bytes | None, failed: bool, **fields: Any) -> None:
    """Promise 4: read from the bytes or decoded, it is the same amount, whatever usage, errors and answers say of costs."""
    error = ErrorInfo(ErrorKind.API, "bad_request", 'no "cost_usd":3') if failed else None
    record = outcome(fields.pop("cost"), fields.pop("extra"), error=error, response=None if failed else body, **fields)
    assert decode(encode(record)) == record
    folder = tmp_path_factory.mktemp("journal")
    write_journal(folder, record)
    assert spent_usd(folder) == pytest.approx((record.cost_usd or 0.0) + record.extra_usd)


def test_replaced_records_were_paid_for_too(tmp_path: Path) -> None:
    """A task that was sent again in a later session cost both times; a torn tail counts nothing; no journal, nothing."""
    write_journal(tmp_path / "j", outcome(0.25), outcome(0.5, 1.0), outcome(None), segment_bytes=1)
    last = max((tmp_path / "j").iterdir())
    last.write_bytes(last.read_bytes() + encode(outcome(8.0))[:-30])
    assert spent_usd(tmp_path / "j") == pytest.approx(1.75)
    assert spent_usd(tmp_path / "none") == 0
