"""Choose among the failed rows of a run: those to send again by the code of their error, and those that are final."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from batch.errors import RunDirectoryError
from batch.journal.index import ResumeIndex
from batch.rundir.accepted import read_accepted, write_accepted
from batch.rundir.failures import failures_of
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_existing
from batch.settings import Job


def settle_failures(
    directory: RunDirectory, job: Job, indexes: Mapping[str, ResumeIndex], codes: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Let failures that were accepted, and those without one of `codes` (if any are given), not be sent again.

    Returns for each variant the number of its accepted failures, and of all that are not sent again.
    Raises RunDirectoryError for a code that no failure has.
    """
    accepted = read_accepted(directory)
    counts = {}
    seen: Counter[str] = Counter()
    for variant in job.variants:
        index = indexes[variant.name]
        tasks = set(accepted.get(variant.slug, ()))
        failed = [(task, code) for task, code in failures_of(index)] if codes or tasks else []
        seen.update(code for _, code in failed)
        settled = [task for task, code in failed if task in tasks or (codes and code not in codes)]
        counts[variant.name] = sum(task in tasks for task, _ in failed), len(settled)
        if settled:
            index.settle(settled)
    _refuse_unknown(codes, seen)
    return counts


def accept(directory: Path | str, codes: Sequence[str] = (), *, undo: bool = False) -> dict[str, int]:
    """Accept the failures of a run as final, all of them or those with these codes; `undo` takes that back. Returns their number by code.

    Raises RunDirectoryError, LockedError while the run is active, DamagedError, StorageError.
    """
    found = open_existing(directory)
    variants = found.manifest.variants
    with found.lock():
        accepted = {slug: set(tasks) for slug, tasks in read_accepted(found).items()}
        counts: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for record in variants.values():
            tasks = accepted.setdefault(record.slug, set())
            for task, code in failures_of(ResumeIndex.load(found.journal_dir(record.slug))):
                seen[code] += 1
                if (codes and code not in codes) or (task in tasks) != undo:
                    continue
                counts[code] += 1
                tasks.symmetric_difference_update({task})
        _refuse_unknown(codes, seen)
        write_accepted(found, {slug: sorted(tasks) for slug, tasks in accepted.items() if tasks})
    return dict(counts.most_common())


def _refuse_unknown(codes: Iterable[str], seen: Counter[str]) -> None:
    for code in codes:
        if code not in seen:
            near = get_close_matches(code, seen, n=1)
            there = ", ".join(f"{name} ({count:,})" for name, count in seen.most_common()) or "none"
            hint = f"did you mean {near[0]}? " if near else ""
            raise RunDirectoryError(f"no failed row has the code {code!r}; {hint}failures here: {there}; nothing was changed")
