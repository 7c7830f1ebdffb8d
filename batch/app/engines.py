"""Choose what carries a run out, and guard what was submitted to Batch APIs from being sent once more."""

from __future__ import annotations

from batch.app.running import RunOptions
from batch.errors import RunDirectoryError
from batch.journal.ledger import open_batches
from batch.rundir.local import RunDirectory
from batch.settings import Job

BATCH_API = "batch-api"
_NAMED = 3


def engine_of(options: RunOptions, job: Job, directory: RunDirectory) -> str:
    """Return the name of the executor: the command's, else that of a run with batches, else the job's. Raises StorageError."""
    if options.engine is not None:
        return options.engine
    if job.run.engine == "live" and not options.fresh and directory.exists and directory.has_ledger():
        return BATCH_API
    return job.run.engine


def check_open_batches(directory: RunDirectory, engine: str, *, fresh: bool) -> None:
    """Refuse to send again, or to forget, what open batches have; hold the lock. Raises RunDirectoryError, DamagedError, StorageError."""
    if (engine == BATCH_API and not fresh) or not (found := open_batches(directory.ledger_events())):
        return
    names = ", ".join(each.batch_id or f"number {each.number}" for each in found[:_NAMED])
    batches = "1 batch is" if len(found) == 1 else f"{len(found):,} batches are"
    more = " and others" if len(found) > _NAMED else ""
    raise RunDirectoryError(
        f"{directory.place}: {batches} at a provider and not collected ({names}{more}): without --engine, or with --engine {BATCH_API}, the"
        f" same command collects them, promptmill cancel {directory.place} cancels them"
    )
