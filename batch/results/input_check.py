"""Compare the input with the one whose rows were sent, before its columns are joined to the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from batch.errors import InputChangedError, RowError
from batch.prompts import RequestBuilder
from batch.readers.builders import request_builder
from batch.records import BadRow, Row
from batch.results.join import MatchedTasks, Result
from batch.rundir.stored_run import StoredRun


class InputCheck:
    """Checks the rows of a run's outcomes against the requests that were sent.

    run.json has the identity of the input as the last session began: as long as it is the same, nothing is rendered. Otherwise the request
    of each row is built again, and its key compared with the outcome's. `differing` counts outcomes whose row now makes another request.
    """

    def __init__(self, run: StoredRun) -> None:
        self._dataset = run.dataset
        manifest = run.manifest
        self._recorded = None if manifest is None or manifest.input is None else manifest.input.files
        self._expected_orphans = 0 if manifest is None else sum(ok + failed for ok, failed in manifest.orphaned.values())
        self._at_start = run.dataset.identity() if self._recorded is not None else None
        self._builders = {variant.slug: request_builder(variant, stream=False) for variant in run.job.variants} if self.changed else {}
        self._compared = 0
        self.differing = 0

    @property
    def changed(self) -> bool:
        """Whether a file is not what it was when the last session began."""
        return self._recorded is not None and self._at_start != self._recorded

    def watch(self, tasks: Iterable[Result]) -> Iterator[Result]:
        """Pass on `tasks` and compare each outcome's request key, where the input changed."""
        if not self._builders:
            yield from tasks
            return
        for result in tasks:
            if result.outcome is not None:
                self._compared += 1
                self.differing += result.outcome.key != request_key(self._builders[result.variant.slug], result.row)
            yield result

    def problem(self, matched: Mapping[str, MatchedTasks]) -> str | None:
        """Say how the input differs from the one that was sent, after all tasks were watched; None when it does not.

        Raises:
            InputError: a file is gone.
        """
        if self._recorded is None:
            return None
        if (now := self._dataset.identity()) != self._at_start:
            return f"{_names(self._at_start or [], now)} changed while the outputs were derived"
        gone = sum(each.orphaned for each in matched.values()) - self._expected_orphans
        parts = [f"{self.differing:,} of {self._compared:,} outcomes are of rows that read otherwise now"] if self.differing else []
        if gone > 0:
            parts.append(f"{gone:,} outcomes have no row any more")
        return f"{_names(self._recorded, now)} changed since the rows were sent: {', and '.join(parts)}" if parts else None


def input_changed(problem: str, command: str) -> InputChangedError:
    """Make the error for a `problem`; `command` derives the outputs again."""
    return InputChangedError(
        f"{problem}; the outputs were not written, so that no answer stands beside another row's columns; every outcome is in the journal."
        f" Put the input back as it was and give `{command}`; or keep the new one: the run's command again with --changed rerun sends the"
        " rows that differ, with --changed keep it keeps their answers"
    )


def request_key(builder: RequestBuilder, row: Row | BadRow) -> bytes:
    """Return the key under which the outcome of a row is journaled."""
    if isinstance(row, BadRow):
        return row.digest
    try:
        return builder.build(row).key
    except RowError:
        return bytes(16)


def _names(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """Return the paths that differ, at most three."""
    recorded = {entry["path"]: entry for entry in before}
    changed = [entry["path"] for entry in now if recorded.get(entry["path"]) != entry]
    changed += [path for path in recorded if path not in {entry["path"] for entry in now}]
    return ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "") if changed else "the input"
