"""Read answers from files, all of a row together, with further columns joined by id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.errors import InputError, PromptmillError
from batch.evaluation.answers import Answer
from batch.evaluation.foreign.formats import answer_lines
from batch.evaluation.foreign.values import ForeignLine
from batch.readers import Dataset
from batch.readers.labels import labelled
from batch.records import Row
from batch.settings import InputSettings


def read_foreign(paths: Sequence[Path], *, answer: str | None = None, rows: Path | None = None, row_id: str | None = None) -> list[Answer]:
    """Return the answers in `paths`, all answers to a row together, rows in the order in which they first appear.

    `answer` names the key of the answer if it is not a usual one. `rows` is a file (JSONL, CSV, Parquet) with further columns,
    joined by its column `row_id`. Several answers of one variant to one id are repeats, but in two files they are two variants.

    Raises:
        InputError: a file cannot be read, holds no answers that are known, or an answer's row is not in `rows`.
    """
    known = {} if rows is None else _rows_by_id(rows, row_id)
    found: dict[str, Row] = {}
    answers: dict[str, list[Answer]] = defaultdict(list)
    times: dict[tuple[str, str], int] = defaultdict(int)
    for path, lines in _distinct_variants([(path, list(_checked(path, answer_lines(path, answer)))) for path in paths]):
        for number, (identifier, variant, said, columns) in enumerate(lines, start=1):
            identity = identifier or str(number - 1)
            if rows is not None and identity not in known:
                raise InputError(
                    f"{path}: the answer with id {identity[:80]!r} has no row in {rows}; --id names the column that holds the ids"
                )
            if identity not in found:
                found[identity] = Row(len(found), identity, {**columns, **known.get(identity, {})}, str(path), number)
            # Lines are in any order, so a repeat's number is the count of its variant's earlier answers to the row.
            answers[identity].append(Answer(found[identity], variant, times[identity, variant], **said))
            times[identity, variant] += 1
    if not answers:
        raise InputError(f"{', '.join(map(str, paths))}: holds no answers")
    return [each for identity in found for each in answers[identity]]


def _distinct_variants(files: Sequence[tuple[Path, list[ForeignLine]]]) -> Iterator[tuple[Path, Iterable[ForeignLine]]]:
    """Read the lines of each file. A variant that answers the same task in two files becomes one variant per file."""
    tasks: dict[tuple[str, str, Any], set[int]] = defaultdict(set)
    for at, (_, lines) in enumerate(files):
        for number, (identifier, variant, _, columns) in enumerate(lines):
            tasks[variant, identifier or str(number), columns.get("repeat")].add(at)
    twice = {variant for (variant, _, _), found in tasks.items() if len(found) > 1}
    labels = _labels([path for path, _ in files])
    for label, (path, lines) in zip(labels, files, strict=True):
        yield path, ((row, f"{variant} ({label})" if variant in twice else variant, said, columns) for row, variant, said, columns in lines)


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return labels that differ: names, or as much of the paths as distinguishes them. Raises InputError for a file given twice."""
    places = [str(path.absolute()) for path in paths]
    if len(set(places)) < len(places):
        repeated = next(path for at, path in enumerate(paths) if places[at] in places[:at])
        raise InputError(f"{repeated}: the same file is given twice")
    return [one.label for one in labelled(places)]


def _checked(path: Path, lines: Iterator[ForeignLine]) -> Iterator[ForeignLine]:
    """Pass on the lines; what they hold in place of what their format has makes an InputError, whatever it raises."""
    number = 0
    try:
        for line in lines:
            number += 1
            yield line
    except PromptmillError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: answer {number + 1} is not of the format that the file's first lines have: {type(error).__name__}: {error}"
        ) from error


def _rows_by_id(rows: Path, row_id: str | None) -> dict[str, Mapping[str, Any]]:
    dataset = Dataset(InputSettings(paths=(str(rows),), id=row_id))
    dataset.check_ids()
    return {row.id: row.columns for batch in dataset.batches() for row in batch if isinstance(row, Row)}
