"""The python scorer: a function from a file of the user's. It runs in this process with the user's rights."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers.sample import Sample, Scorer, scored, shown, unscored
from batch.evaluation.table import ScoreValue


def python(*, function: str) -> Scorer:
    """What `function`, written "file.py:name", says of each answer.

    It is called as name(answer, expected, row): the text (None when there is none), the expected value or None, and a dict of the row's
    columns, with the answer's tool calls under "tool_calls" when it has any. It gives a number from 0 to 1, a truth value, None for
    unscored, or a pair of one of these and a reason. What it raises makes the answer unscored.

    Raises:
        SetupError: the file or the function is not there, or the file cannot be run.
    """
    call = _load(function)

    def score(sample: Sample) -> ScoreValue:
        row = {**sample.columns, "tool_calls": list(sample.tool_calls)} if sample.tool_calls else dict(sample.columns)
        try:
            given = call(sample.text, sample.expected, row)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return unscored(f"{call.__name__} raised {type(error).__name__}: {shown(str(error), 120)}")
        value, reason = given if isinstance(given, tuple) and len(given) == 2 else (given, "")
        if value is None:
            return unscored(str(reason) or f"{call.__name__} gave None")
        if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
            return unscored(f"{call.__name__} gave {shown(repr(value), 60)}, which is no number from 0 to 1")
        return scored(value, sample.text, str(reason) or "by the function")

    return score


def split(function: str) -> tuple[Path, str]:
    """The file and the function's name. Raises SetupError when they are not written "file.py:name"."""
    file, colon, name = function.rpartition(":")
    if not colon or not name.isidentifier():
        raise SetupError(f'{function!r} names no function of a file; write function = "scorers.py:score"')
    return Path(file), name


def _load(function: str) -> Callable[[str | None, Any, dict[str, Any]], Any]:
    file, name = split(function)
    if not file.is_file():
        raise SetupError(f"{file}: there is no such file for a python scorer")
    spec = importlib.util.spec_from_file_location(f"promptmill_scorer_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise SetupError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SetupError(f"{file}: cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise SetupError(f"{file}: has no function {name}")
    return found  # type: ignore[no-any-return]
