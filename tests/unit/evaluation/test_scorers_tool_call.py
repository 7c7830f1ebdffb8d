"""The scorer tool_call: names, arguments, several calls, their order, and calls that an answer writes as text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batch.evaluation.scorers.sample import ExpectedError, Sample
from batch.evaluation.scorers.tool_calls import tool_call

ROME = {"name": "weather", "arguments": {"city": "Rome", "days": 3}}
OSLO = {"name": "weather", "arguments": {"city": "Oslo", "days": 1}}
TIME = {"name": "time", "arguments": {}}


def called(*calls: dict[str, Any]) -> Sample:
    """An answer that makes these calls, arguments as JSON text as the OpenAI protocol has them."""
    made = [
        {"id": f"c{at}", "type": "function", "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])}}
        for at, call in enumerate(calls)
    ]
    return Sample(None, tool_calls=made)


def value(sample: Sample, expected: Any, **options: Any) -> float | None:
    """The score of an answer."""
    return tool_call(**options)(Sample(sample.text, expected, sample.tool_calls)).value


CALLS: list[tuple[Sample, Any, dict[str, Any], float | None]] = [
    (called(ROME), ROME, {}, 1),
    (called(ROME), [ROME], {}, 1),
    (called(ROME), json.dumps(ROME), {}, 1),
    (called(ROME), {"type": "function", "function": {"name": "weather", "arguments": json.dumps(ROME["arguments"])}}, {}, 1),
    (called({"name": "weather", "arguments": {"days": 3.0, "city": "rome"}}), ROME, {}, 1),
    (called({"name": "weather", "arguments": {"days": 3, "city": "rome"}}), ROME, {"case_sensitive": True}, 0),
    (called({"name": "weather", "arguments": {"days": "3", "city": "Rome"}}), ROME, {}, 1),
    (called({"name": "weather", "arguments": {"days": 4, "city": "Rome"}}), ROME, {}, 0),
    (called({"name": "Weather", "arguments": ROME["arguments"]}), ROME, {}, 0),
    (called({"name": "weather", "arguments": {"city": "Rome"}}), ROME, {}, 0),
    (called({"name": "weather", "arguments": {"city": "Rome"}}), ROME, {"arguments": "ignore"}, 1),
    (called({"name": "weather", "arguments": {**ROME["arguments"], "unit": "C"}}), ROME, {}, 0),
    (called({"name": "weather", "arguments": {**ROME["arguments"], "unit": "C"}}), ROME, {"arguments": "contain"}, 1),
    (called({"name": "weather", "arguments": {"city": "Rome"}}), ROME, {"arguments": "contain"}, 0),
    (called(OSLO, ROME), [ROME, OSLO], {}, 1),
    (called(OSLO, ROME), [ROME, OSLO], {"order": True}, 0),
    (called(ROME, OSLO), [ROME, OSLO], {"order": True}, 1),
    (called(ROME, TIME, OSLO), [ROME, OSLO], {"order": True, "more": True}, 1),
    (called(ROME, ROME), ROME, {}, 0),
    (called(ROME, TIME), ROME, {}, 0),
    (called(ROME, TIME), ROME, {"more": True}, 1),
    (called(ROME), [ROME, ROME], {}, 0),
    (called(ROME), [], {}, 0),
    (Sample("It is sunny."), [], {}, 1),
    (Sample("It is sunny."), ROME, {}, 0),
    (Sample(None), ROME, {}, None),
    (Sample("<think>weather"), ROME, {}, None),
    (Sample(f"<tool_call>\n{json.dumps(ROME)}\n</tool_call>"), ROME, {}, 0),
    (Sample(f"<tool_call>\n{json.dumps(ROME)}\n</tool_call>"), ROME, {"text": True}, 1),
    (Sample(f"<tool_call>{json.dumps(OSLO)}</tool_call><tool_call>{json.dumps(ROME)}"), [ROME, OSLO], {"text": True}, 1),
    (Sample(f"I call it: {json.dumps(ROME)}"), ROME, {"text": True}, 1),
    (Sample("<tool_call>{'name': 'weather'}</tool_call>"), ROME, {"text": True}, None),
]


@pytest.mark.parametrize(("answer", "expected", "options", "right"), CALLS)
def test_tool_calls(answer: Sample, expected: Any, options: dict[str, Any], right: float | None) -> None:
    """A call is right by its name and its arguments; calls stand for one another only where they are equal."""
    assert value(answer, expected, **options) == right


def test_a_call_that_fits_two_expected_ones_takes_the_one_that_is_left() -> None:
    """The assignment of calls is the best there is, in whatever order they are made."""
    loose = {"name": "weather", "arguments": {}}
    assert value(called(ROME, OSLO), [loose, ROME], arguments="contain") == 1
    assert value(called(OSLO, ROME), [ROME, loose], arguments="contain") == 1


def test_arguments_that_are_no_json_object_are_wrong_and_named() -> None:
    """What a model sends as arguments is its own fault, and the reason says so."""
    broken = Sample(None, ROME, [{"function": {"name": "weather", "arguments": '{"city": '}}])
    found = tool_call()(broken)
    assert (found.value, found.reason) == (0, "the arguments of weather are no JSON object")


@pytest.mark.parametrize("expected", ["weather", 7, {"city": "Rome"}, [ROME, 1], '{"name": "f", "arguments": NaN}'])
def test_an_expected_value_that_is_no_call_is_a_fault_of_the_data(expected: Any) -> None:
    """It counts against no model."""
    with pytest.raises(ExpectedError):
        tool_call()(Sample("", expected))
