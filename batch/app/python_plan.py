"""`batch.plan`: what a job would send and cost, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from batch.app.estimate import Estimate, estimate
from batch.app.made_rows import rows_for_reading
from batch.app.python import AnyJob, loaded_with, with_function_rows
from batch.app.python_html import html_table
from batch.app.python_words import in_python_words
from batch.policy.dollars import usd


class JobPlan(Estimate):
    """What a job would send, and cost: `Estimate`, with a short repr and a table in notebooks."""

    __slots__ = ()

    def __repr__(self) -> str:
        requests, most = sum(variant.requests for variant in self.variants), self.cost_usd
        cost = "cost unknown" if most is None or most.high is None else f"at most {usd(most.high)}"
        return f"<JobPlan {self.name!r}: {self.rows:,} rows, {requests:,} requests to send, {cost}>"

    def _repr_html_(self) -> str:
        head = ["variant", "tasks", "requests", "USD, least", "USD, most"]
        rows = [
            (v.name, v.tasks, v.requests, *((None, None) if v.cost_usd is None else (v.cost_usd.low, v.cost_usd.high)))
            for v in self.variants
        ]
        return html_table(f"{self.name}: {self.rows:,} rows; nothing was sent", head, rows)


@in_python_words
def plan(job: AnyJob, *, rows: Any = None, overrides: Sequence[str] = (), retry_failed: bool = False) -> JobPlan:
    """Estimate what a job would send, its cost and its duration; sends nothing and writes nothing.

    Raises:
        JobError, InputError, DamagedError, RunDirectoryError.
    """
    job, rows = with_function_rows(job, overrides, rows)
    with rows_for_reading(loaded_with(job, overrides, rows), rows) as loaded:
        found = estimate(loaded, retry_failed=retry_failed)
    return JobPlan(**{each.name: getattr(found, each.name) for each in fields(found)})
