"""Notices about a job's input before anything is sent."""

from __future__ import annotations

from batch.readers import Dataset
from batch.settings import Job


def input_notices(job: Job, dataset: Dataset, rows: int | None) -> list[str]:
    """Return notices about the input: no row selected, time zones that are not installed. Raises InputError."""
    notices = [
        f"the input has times in the zone {zone!r}, which is not installed here: they are read as UTC"
        for zone in sorted(dataset.unknown_zones())
    ]
    if rows == 0:
        why = "for no row [input] where holds" if job.input.where is not None else "the input has no rows"
        notices.append(f"nothing to send: {why}")
    return notices
