"""Compare batch files without a run directory: the answers of any batch runner with their requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batch.errors import InputError
from batch.readers import Dataset
from batch.records import BadRow, Row
from batch.results.openai_batch.files import batch_answer, batch_lines
from batch.results.verification import VariantCheck, Verification
from batch.settings import InputSettings


def verify_batch_files(paths: Sequence[Path], requests: Path | None) -> Verification:
    """Count the answers in `paths` by custom_id; with `requests` (the input file) also missing ones and those without a request.

    `doubled` counts answers beyond the first to a custom_id, `damage` names lines that are no answers. Keeps the custom_ids in memory.

    Raises:
        InputError: a file cannot be read.
    """
    check = VariantCheck(", ".join(path.name for path in paths))
    damage: list[str] = []
    answered: Counter[str] = Counter()
    for path, number, line in batch_lines(paths):
        if isinstance(line, str):
            damage.append(f"{path}:{number}: {line}")
            continue
        try:
            answer = batch_answer(path, number, line)
        except InputError as error:
            damage.append(str(error))
            continue
        answered[answer.custom_id] += 1
        check.doubled += answered[answer.custom_id] > 1
        check.ok += answer.outcome.ok
        check.failed += not answer.outcome.ok
    check.tasks = len(answered)
    if requests is not None:
        requested, unreadable = _requested(requests)
        damage += unreadable
        check.tasks = len(requested) + len(unreadable)
        check.missing = len(requested - answered.keys()) + len(unreadable)
        check.orphaned = len(answered.keys() - requested)
    return Verification((check,), tuple(damage), ())


def _requested(requests: Path) -> tuple[set[str], list[str]]:
    """Return the custom_ids of an input file, and what is wrong with the other lines. Raises InputError for a duplicate id."""
    dataset = Dataset(InputSettings(paths=(str(requests),), format="openai-batch", id="custom_id"))
    dataset.check_ids()
    rows = [row for batch in dataset.batches() for row in batch]
    return {row.id for row in rows if isinstance(row, Row)}, [row.message for row in rows if isinstance(row, BadRow)]
