"""What is checked in each run against a server of others."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from batch import app
from tests.support.jobs import JobFolder, ids
from tests.support.scripts import wait_for
from tests.support.sessions import Session, check_accounts

INPUT_PRICE, OUTPUT_PRICE = 0.5, 2.0  # US dollars for a million tokens
PRICE = f"price = {{ input = {INPUT_PRICE}, output = {OUTPUT_PRICE} }}"


def check_all_answered(folder: JobFolder, session: Session, expected: Callable[[dict[str, Any]], str]) -> None:
    """Every row has the answer that is its own, in the order of the input, and none has failed."""
    assert (session.exit_code, session.reason, session.tally.failed) == (0, "", 0), (session.tally, folder.errors()[:3])
    lines = folder.completions()
    assert ids(lines) == ids(folder.rows)
    assert [line["completion"] for line in lines] == [expected(row) for row in folder.rows]
    assert {line["finish_reason"] for line in lines} == {"stop"}


def check_money(folder: JobFolder) -> None:
    """The cost of each answer is its usage at the job's price, and `status` has the sum."""
    lines = folder.completions()
    costs = [(line["usage"]["prompt_tokens"] * INPUT_PRICE + line["usage"]["completion_tokens"] * OUTPUT_PRICE) / 1e6 for line in lines]
    assert all(cost > 0 for cost in costs)
    assert [line["cost_usd"] for line in lines] == pytest.approx(costs)
    (variant,) = app.status(folder.directory).variants
    assert variant.cost_usd == pytest.approx(sum(costs))


def kill_in_the_middle(folder: JobFolder) -> None:
    """Start the job, end it by SIGKILL when a third of its rows are in the journal, and run it to its end."""

    def journaled() -> int:
        return sum(path.read_bytes().count(b"\n") for path in folder.directory.glob("journal/*/*.jsonl"))

    process = folder.start()
    wait_for(lambda: journaled() >= len(folder.rows) // 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert journaled() < len(folder.rows)
    ended = folder.run(timeout=300)
    assert ended.returncode == 0, ended.stderr
    check_accounts(folder)
    assert ids(folder.completions()) == ids(folder.rows)
