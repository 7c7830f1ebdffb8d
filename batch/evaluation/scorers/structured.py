"""Scorers of structured answers: json, json_schema, json_fields. Tool calls count as JSON where an answer has no text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers.json_values import loads, read_json
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, shown, unscored
from batch.evaluation.scorers.texts import answer_text, as_text, normalised
from batch.evaluation.table import ScoreValue
from batch.prompts import AnswerSchema
from batch.prompts.bounded import LONGEST_S, OutOfTimeError

_MISSING = object()


def valid_json(*, fences: bool = True) -> Scorer:
    """Score 1 when the answer is JSON as RFC 8259 has it (no NaN): the whole answer or, with `fences`, a ``` block in it."""

    def score(sample: Sample) -> ScoreValue:
        text = _json_text(sample)
        if isinstance(text, ScoreValue):
            return text
        try:
            value = read_json(text, fences=fences)
        except ValueError as error:
            return scored(0, text, _fault(text, error, sample))
        return scored(1, text, f"JSON: {_kind(value)}")

    return score


def json_schema(*, schema: str, embedded: bool = False, fences: bool = True) -> Scorer:
    """Score 1 when the answer is JSON that the JSON Schema in the file `schema` accepts; an answer that is not JSON is wrong, not unscored.

    With `embedded`, an object or a list within prose is taken as well; of several the last that the schema accepts. With `fences`
    false, a ``` block around the JSON makes it wrong.

    Raises:
        SetupError: the file cannot be read, or holds no schema.
    """
    # Compiled before the first answer, so that a broken schema stops the command at once.
    check = _validator(Path(schema))

    def score(sample: Sample) -> ScoreValue:
        text = _json_text(sample)
        if isinstance(text, ScoreValue):
            return text
        try:
            value = read_json(text, embedded=embedded, fences=fences, fits=lambda found: check(found) is None)
            complaint = check(value)
        except ValueError as error:
            return scored(0, text, _fault(text, error, sample))
        except OutOfTimeError:
            return unscored(f"the check against the schema took longer than {LONGEST_S:g} s", text)
        return scored(complaint is None, text, complaint or "fits the schema")

    return score


def json_fields(*, fields: Sequence[str] = (), embedded: bool = True, fences: bool = True, case_sensitive: bool = False) -> Scorer:
    """Return the share of the expected object's fields that the answer has with an equal value.

    The expected value is an object, or its JSON text; fields of nested objects count one by one ("address.city"), lists as a whole.
    Texts are compared as `exact` does, numbers by value. `fields` chooses the fields that count. Other fields do not count.
    Of several objects in an answer, the last with any of these fields is taken.
    """

    def score(sample: Sample) -> ScoreValue:
        wanted = _expected_fields(sample.expected, fields)
        if not wanted:
            raise ExpectedError("the expected value is no JSON object, or has none of the fields")
        text = _json_text(sample)
        if isinstance(text, ScoreValue):
            return text
        try:
            value = read_json(text, embedded=embedded, fences=fences, fits=lambda found: _has_any(found, wanted))
        except ValueError as error:
            return unscored(_fault(text, error, sample), text)
        if not isinstance(value, dict):
            return unscored(f"the answer is not an object but {_kind(value)}", text)
        given = dict(_leaves(value, inside=wanted))
        wrong = [name for name, right in wanted.items() if not same_value(given.get(name, _MISSING), right, case_sensitive=case_sensitive)]
        reason = f"differs in {shown(', '.join(wrong), 120)}" if wrong else f"all {len(wanted)} fields equal"
        return scored(1 - len(wrong) / len(wanted), text, reason)

    return score


def _has_any(value: Any, wanted: Mapping[str, Any]) -> bool:
    return isinstance(value, dict) and any(name in wanted for name, _ in _leaves(value, inside=wanted))


def _json_text(sample: Sample) -> str | ScoreValue:
    """Return the text that should be JSON: the answer, or the arguments of its only tool call."""
    if sample.text is None and sample.tool_calls and len(sample.tool_calls) == 1:
        function = sample.tool_calls[0].get("function")
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if arguments is not None:
            return as_text(arguments)
    return answer_text(sample)


def _fault(text: str, error: ValueError, sample: Sample) -> str:
    if not text.strip():
        return "empty answer"
    return f"not JSON{' (cut off)' if sample.truncated else ''}: {error}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _validator(path: Path) -> Callable[[Any], str | None]:
    try:
        schema = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: is no JSON Schema that can be read: {error}") from error
    try:
        compiled = AnswerSchema(schema)
    except ValueError as error:
        raise SetupError(f"{path}: is no valid JSON Schema: {error}") from error

    def check(value: Any) -> str | None:
        complaint = compiled.complaint(value)
        return None if complaint is None else shown(complaint, 160)

    return check


def _expected_fields(expected: Any, fields: Sequence[str]) -> dict[str, Any]:
    if isinstance(expected, str):
        try:
            expected = loads(expected)
        except ValueError:
            return {}
    if not isinstance(expected, Mapping):
        return {}
    leaves = dict(_leaves(expected))
    return {
        name: value
        for name, value in leaves.items()
        if not fields or any(name == field or name.startswith(f"{field}.") for field in fields)
    }


def _leaves(value: Mapping[str, Any], prefix: str = "", inside: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the values of an object by dotted name; an object that `inside` names stays whole."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        # An empty object has no fields, so it is compared as a value.
        if isinstance(item, Mapping) and item and not (inside is not None and name in inside):
            yield from _leaves(item, f"{name}.", inside)
        else:
            yield name, item


def same_value(given: Any, wanted: Any, *, case_sensitive: bool) -> bool:
    """Whether a JSON value is the wanted one: texts as `exact` compares them, numbers by value, lists and objects item by item."""
    # Models often omit a field instead of writing null.
    if wanted is None:
        return given is None or given is _MISSING
    # In Python True equals 1, in JSON it does not.
    if given is _MISSING or given is None or isinstance(given, bool) != isinstance(wanted, bool):
        return False
    if isinstance(wanted, int | float) and isinstance(given, int | float):
        # 0.1 + 0.2 written out is 0.30000000000000004: the last digits of a float are no mistake of the model.
        try:
            return given == wanted or abs(given - wanted) <= 1e-9 * abs(wanted)
        except OverflowError:  # an integer beyond what a float can hold
            return False
    if isinstance(wanted, list | tuple):
        same_length = isinstance(given, list) and len(given) == len(wanted)
        return same_length and all(same_value(a, b, case_sensitive=case_sensitive) for a, b in zip(given, wanted, strict=True))
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            same_value(given.get(key, _MISSING), item, case_sensitive=case_sensitive) for key, item in wanted.items()
        )
    if isinstance(given, dict | list):
        return False
    return normalised(as_text(given), case_sensitive=case_sensitive) == normalised(as_text(wanted), case_sensitive=case_sensitive)
