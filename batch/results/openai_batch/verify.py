"""Batch files held against each other, without a run directory: the answers of any batch runner, and the requests they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batch.readers import Dataset
from batch.records import BadRow, Row
from batch.results.openai_batch.files import batch_lines, read_batch_line
from batch.results.verify import VariantCheck, Verification
from batch.settings import InputSettings


def verify_batch_files(paths: Sequence[Path], requests: Path | None) -> Verification:
    """Count the answers in `paths` by custom_id; with `requests` (the input file) also what is missing and what nobody asked for.

    `doubled` counts answers beyond the first to a custom_id, `damage` names lines that are none. Holds the custom_ids in memory.

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
        answer = read_batch_line(line)
        answered[answer.custom_id] += 1
        check.doubled += answered[answer.custom_id] > 1
        check.ok += answer.outcome.ok
        check.failed += not answer.outcome.ok
    check.tasks = len(answered)
    if requests is not None:
        asked, unreadable = _asked(requests)
        damage += unreadable
        check.tasks = len(asked) + len(unreadable)
        check.missing = len(asked - answered.keys()) + len(unreadable)
        check.orphaned = len(answered.keys() - asked)
    return Verification((check,), tuple(damage), ())


def _asked(requests: Path) -> tuple[set[str], list[str]]:
    """The custom_ids of an input file, and the places of the lines that have none. Raises InputError for one that stands twice."""
    dataset = Dataset(InputSettings(paths=(str(requests),), format="openai-batch", id="custom_id"))
    dataset.check_ids()
    rows = [row for batch in dataset.batches() for row in batch]
    return {row.id for row in rows if isinstance(row, Row)}, [row.message for row in rows if isinstance(row, BadRow)]
