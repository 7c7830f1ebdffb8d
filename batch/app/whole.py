"""The figures of a whole run, beside those of its last session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from batch.app.running import Whole
from batch.errors import PromptmillError
from batch.executors.costs import run_spent_usd
from batch.journal.index import ResumeIndex
from batch.rundir.failures import failures_of
from batch.rundir.stored_run import StoredRun
from batch.tally import Tally


def whole_of(run: StoredRun, tallies: Mapping[str, Tally]) -> Whole | None:
    """Return the figures of all sessions; None where this is the first, or they cannot be read."""
    if not any(tally.kept_ok + tally.kept_failed for tally in tallies.values()):
        return None
    failures: Counter[str] = Counter()
    with suppress(PromptmillError, OSError):
        for variant in run.job.variants:
            if tallies[variant.name].failed + tallies[variant.name].kept_failed:
                failures.update(code for _, code in failures_of(ResumeIndex.load(run.directory.journal_dir(variant.slug))))
        return Whole(failures, run_spent_usd(run.directory), run.directory.manifest.abandoned or 0)
    return None
