"""What earlier sessions of a run have left for this one: records of their own, and failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from batch.app.failures import settle_failures
from batch.app.running import RunOptions
from batch.journal.index import ResumeIndex
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest
from batch.settings import Job
from batch.tally import Tally


def continued(previous: Manifest, manifest: Manifest, *, with_race: bool) -> Manifest:
    """Return the manifest with what earlier sessions have left in theirs."""
    return replace(
        manifest,
        created=previous.created,
        unrecorded_usd=previous.unrecorded_usd,
        abandoned=previous.abandoned,
        kept=previous.kept,
        race=previous.race if with_race else None,
    )


def count_failed(tallies: Mapping[str, Tally], *, retry_failed: bool) -> None:
    """Count the failed tasks that this session sends again."""
    for tally in tallies.values():
        tally.again = tally.kept_failed if retry_failed else 0


def settle(
    directory: RunDirectory, job: Job, indexes: Mapping[str, ResumeIndex], tallies: Mapping[str, Tally], options: RunOptions
) -> None:
    """Keep failures that are accepted, or not chosen by their code, from being sent, and count them."""
    for name, (accepted, settled) in settle_failures(directory, job, indexes, options.retry_codes).items():
        tallies[name].accepted = accepted
        tallies[name].again -= settled if options.retry_failed else 0
