"""The prices and the budget of a job, and what earlier sessions of its run have spent."""

from __future__ import annotations

from datetime import UTC, datetime

from batch.engine.costs import Costs
from batch.journal.spent import spent_usd
from batch.policy.budget import Spending
from batch.providers.prices import price_of
from batch.rundir.local import RunDirectory
from batch.settings import Job, Price

UNRECORDED = "unrecorded_usd"
# Less is the rounding of many sums.
_WORTH_KEEPING_USD = 1e-9


def costs_of(job: Job, directory: RunDirectory) -> Costs:
    """What the job's requests cost, and the budget that is left for them. Hold the lock, with the journals repaired."""
    cap = job.run.max_cost_usd
    return Costs(prices_of(job), job.variants, None if cap is None else Spending(cap, run_spent_usd(directory)))


def prices_of(job: Job) -> dict[str, Price]:
    """The prices of the job's variants, as far as they are known."""
    now = datetime.now(UTC)
    return {variant.name: price for variant in job.variants if (price := price_of(variant, now)) is not None}


def run_spent_usd(directory: RunDirectory) -> float:
    """US dollars that all sessions of a run have spent, of variants too that the job no longer has.

    Of a session that was killed, what was in flight then is not known, and not counted.
    """
    recorded = sum(spent_usd(directory.journal_dir(slug)) for slug in directory.slugs())
    return recorded + (float(directory.manifest.get(UNRECORDED, 0.0)) if directory.exists else 0.0)


def keep_unrecorded(directory: RunDirectory, dollars: float) -> None:
    """Note in run.json what this session spent, or may have spent, on tasks that got no outcome. Raises StorageError."""
    if dollars > _WORTH_KEEPING_USD:
        manifest = directory.manifest
        directory.write_manifest({**manifest, UNRECORDED: manifest.get(UNRECORDED, 0.0) + dollars})
