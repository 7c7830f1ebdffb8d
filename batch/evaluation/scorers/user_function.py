"""The python scorer: a function from a file of the user's. It runs in this process with the user's rights."""

from __future__ import annotations

from typing import Any

from batch.evaluation.scorers.sample import Sample, Scorer, scored, shown, unscored
from batch.evaluation.scorers.user_module import UserFunction
from batch.evaluation.table import ScoreValue


def python(*, function: str) -> Scorer:
    """Call `function`, written "file.py:name", for the score of each answer.

    It is called as name(answer, expected, row): the text (None when there is none), the expected value or None, and a dict of the row's
    columns, with the answer's tool calls under "tool_calls" when it has any. It may ask for more by parameters of these names: `usage`,
    `finish_reason`, `logprobs` (a list of tokens, or None), `tool_calls`. It may be async. It returns a number from 0 to 1 (NumPy's too),
    a truth value, None for unscored, or a pair of one of these and a reason. An exception makes the answer unscored.

    Raises:
        SetupError: the file or the function is not there, or the file cannot be run.
    """
    call = UserFunction(function)

    def score(sample: Sample) -> ScoreValue:
        row = {**sample.columns, "tool_calls": list(sample.tool_calls)} if sample.tool_calls else dict(sample.columns)
        try:
            given = call(sample.text, sample.expected, row, **more_of(sample))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return unscored(f"{call.name} raised {type(error).__name__}: {shown(str(error), 120)}")
        value, reason = given if isinstance(given, tuple) and len(given) == 2 else (given, "")
        value = plain_number(value)
        if value is None:
            return unscored(str(reason) or f"{call.name} gave None")
        # Checked here, since one NaN or 5 among the scores would spoil every mean without a message.
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            return unscored(f"{call.name} gave {shown(repr(value), 60)}, which is no number from 0 to 1")
        return scored(value, sample.text, str(reason) or "by the function")

    return score


def more_of(sample: Sample) -> dict[str, Any]:
    """Return the answer's other properties, by the parameter names under which a function may ask for them."""
    return {
        "usage": dict(sample.usage),
        "finish_reason": sample.finish_reason,
        "logprobs": None if sample.logprobs is None else [dict(token) for token in sample.logprobs],
        "tool_calls": list(sample.tool_calls or ()),
    }


def plain_number(value: Any) -> Any:
    """Convert a number of NumPy, PyTorch or similar, or an array of one, to a Python number; return other values unchanged."""
    item = getattr(value, "item", None)
    if isinstance(value, int | float) or not callable(item):
        return float(value) if isinstance(value, float) else value
    try:
        return item()
    except (TypeError, ValueError, RuntimeError):
        return value
