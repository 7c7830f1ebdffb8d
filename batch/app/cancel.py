"""`cancel`: cancel the open batches of a run at their providers, and collect what they have done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batch.app.engines import BATCH_API
from batch.app.runner import resume
from batch.app.running import RunOptions, RunReport
from batch.events import Observer
from batch.executors.batch_options import BatchOptions
from batch.journal.ledger import open_batches
from batch.rundir.opening import open_begun


def cancel(place: Path | str, observers: Sequence[Observer]) -> RunReport | None:
    """Cancel what is open; None where nothing is. Raises as `resume` does."""
    directory = open_begun(place)
    with directory.lock():
        found = open_batches(directory.ledger_events())
    if not found:
        return None
    return resume(place, (), RunOptions(engine=BATCH_API, changed="keep", batch=BatchOptions(cancel=True)), observers)
