"""Write and read baselines: the scores of a run in one small text file that can be committed, for comparing later runs with it.

The first line is a JSON object that names the scores and columns; each further line is a row: its id and, for every column (score,
variant, repeat), a score from 0 to 1, "unscored", "failed", or null for a task without an outcome. 2,000 rows of one score take about
30 kB, and a diff of two baselines shows the rows that changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batch.errors import InputError
from batch.evaluation.table import ScoreTable, State
from batch.evaluation.two_runs.changes import ScoredSide
from batch.storage import replace_atomically

FORMAT = "promptmill-baseline"
# The last bits of a mean differ between machines, and would show as changes in a diff.
_DIGITS = 6
_STATES = {"unscored": State.UNSCORED, "failed": State.FAILED}


def write_baseline(side: ScoredSide, path: Path) -> None:
    """Write a side's scores to `path` atomically; missing folders are created. Raises StorageError, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path) as file:
        file.writelines(f"{line}\n".encode() for line in _lines(side))


def _lines(side: ScoredSide) -> Iterator[str]:
    described = {
        score: {"version": side.versions.get(score, ""), "binary": table.binary, "clustered": table.clusters is not None}
        for score, table in side.tables.items()
    }
    columns = [
        (score, variant, repeat) for score, table in side.tables.items() for variant in table.variants for repeat in range(table.repeats)
    ]
    yield json.dumps({"format": FORMAT, "version": 1, "name": side.name, "scores": described, "columns": columns}, ensure_ascii=False)
    places = {score: {name: at for at, name in enumerate(table.row_ids)} for score, table in side.tables.items()}
    for name in dict.fromkeys(name for table in side.tables.values() for name in table.row_ids):
        values = [_value(side.tables[score], variant, places[score].get(name), repeat) for score, variant, repeat in columns]
        clusters = {
            score: table.clusters[places[score][name]]
            for score, table in side.tables.items()
            if table.clusters is not None and name in places[score]
        }
        # One line a row, so that a diff of two baselines shows the rows that changed.
        yield json.dumps([name, *values, *([clusters] if clusters else [])], ensure_ascii=False)


def _value(table: ScoreTable, variant: str, row: int | None, repeat: int) -> float | int | str | None:
    if row is None:
        return "none"
    at = table.variants.index(variant), row, repeat
    state = State(int(table.states[at]))
    if state is State.SCORED:
        value = round(float(table.values[at]), _DIGITS)
        # "1" instead of "1.0" keeps the file small.
        return int(value) if value in (0, 1) else value
    return next((name for name, code in _STATES.items() if code is state), None)


def is_baseline(path: Path) -> bool:
    """Whether a file begins as a baseline does."""
    try:
        with path.open("rb") as file:
            # Not the whole line: the file may be of any kind and size, and its first line too.
            return FORMAT.encode() in file.readline(200)
    except OSError:
        return False


def read_baseline(path: Path) -> ScoredSide:
    """Read what `write_baseline` wrote.

    Raises:
        InputError: the file cannot be read, or is not a complete baseline.
    """
    try:
        head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        if head["version"] != 1:
            raise InputError(f"{path}: is a baseline of version {head['version']}, which this promptmill does not read; update promptmill")
        tables = {score: _table(score, head, lines) for score in head["scores"]}
        versions = {score: str(described["version"]) for score, described in head["scores"].items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"{path}: is not a whole baseline ({error}); save it again with: promptmill score RUN_DIR --save-baseline FILE"
        ) from error
    return ScoredSide(str(head["name"]), tables, versions)


def _table(score: str, head: dict[str, Any], lines: Sequence[list[Any]]) -> ScoreTable:
    own = [(at, variant, repeat) for at, (name, variant, repeat) in enumerate(head["columns"], 1) if name == score]
    rows = [line for line in lines if any(line[at] != "none" for at, _, _ in own)]
    variants = tuple(dict.fromkeys(variant for _, variant, _ in own))
    shape = len(variants), len(rows), max((repeat for _, _, repeat in own), default=0) + 1
    values, states = np.full(shape, np.nan), np.full(shape, State.MISSING, dtype=np.uint8)
    for at, variant, repeat in own:
        for row, line in enumerate(rows):
            place, value = (variants.index(variant), row, repeat), line[at]
            if isinstance(value, int | float):
                values[place], states[place] = value, State.SCORED
            elif isinstance(value, str) and value != "none":
                states[place] = _STATES[value]
    described = head["scores"][score]
    clusters = tuple(str(line[-1][score]) for line in rows) if described["clustered"] else None
    return ScoreTable(score, bool(described["binary"]), variants, tuple(str(line[0]) for line in rows), clusters, values, states)
