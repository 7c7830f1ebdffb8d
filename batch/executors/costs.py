"""The prices and the budget of a job, and what earlier sessions of its run have spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from batch.engine.costs import Costs
from batch.journal.summary_files import spent_usd
from batch.policy.budget import Spending
from batch.providers.prices import price_of
from batch.rundir.local import RunDirectory
from batch.rundir.stored_run import StoredRun
from batch.settings import Job, Price

# Anything less is the rounding error of many sums.
_WORTH_KEEPING_USD = 1e-9


def costs_of(run: StoredRun) -> Costs:
    """Make the prices of the job's requests and the budget that remains for them. Hold the lock, with the journals repaired."""
    cap = run.job.run.max_cost_usd
    return Costs(prices_of(run.job), run.job.variants, None if cap is None else Spending(cap, run_spent_usd(run.directory)))


def prices_of(job: Job) -> dict[str, Price]:
    """Find the price of each variant, where it is known."""
    # Some prices change on a date.
    now = datetime.now(UTC)
    return {variant.name: price for variant in job.variants if (price := price_of(variant, now)) is not None}


def run_spent_usd(directory: RunDirectory, before: Mapping[str, int] | None = None) -> float:
    """Sum the US dollars that all sessions of a run have spent, including variants that the job no longer has.

    `before` leaves out the files of each variant's journal (by slug) from a number on. What was in flight when a session was killed is
    unknown and not counted.
    """
    recorded = sum(spent_usd(directory.journal_dir(slug), (before or {}).get(slug)) for slug in directory.slugs())
    return recorded + ((directory.manifest.unrecorded_usd or 0.0) if directory.exists else 0.0)


def keep_unrecorded(directory: RunDirectory, dollars: float, abandoned: int) -> None:
    """Add to run.json what this session spent, or may have spent, on tasks without an outcome. Raises StorageError.

    `abandoned` is the number of requests that it gave up in flight.
    """
    manifest = directory.manifest
    if dollars > _WORTH_KEEPING_USD:
        manifest = replace(manifest, unrecorded_usd=(manifest.unrecorded_usd or 0.0) + dollars)
    if abandoned:
        manifest = replace(manifest, abandoned=(manifest.abandoned or 0) + abandoned)
    if dollars > _WORTH_KEEPING_USD or abandoned:
        directory.write_manifest(manifest)


def require_prices(unpriced: Sequence[str]) -> None:
    """Refuse a budget for models whose price is unknown. Raises ValueError."""
    if unpriced:
        raise ValueError(f"max_cost_usd cannot be kept: the price of {', '.join(unpriced)} is unknown; give it in the job (price = {{…}})")
