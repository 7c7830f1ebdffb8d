"""Foreign text is checked within a time: patterns that backtrack, schemas that take exponential time."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.prompts import AnswerSchema
from batch.prompts.bounded import BoundedPattern, Deadline, OutOfTimeError, bounded_validator
from batch.prompts.schemas import fault_of
from batch.records import Reply

SLOW = "^(?:(a|aa)+)$"
NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "anyOf": [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["y"]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["z"]},
    ],
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": SLOW}, "a" * 60 + "!"),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": False}, {"a" * 60 + "!": 1}),
        ({"additionalProperties": False, "patternProperties": {SLOW: {}}}, {"a" * 60 + "!": 1}),
        ({"patternProperties": {SLOW: {}}, "unevaluatedProperties": False}, {"a" * 60 + "!": 1}),
        ({"propertyNames": {"pattern": SLOW}}, {"a" * 60 + "!": 1}),
        (NESTED, json.loads('{"a":' * 40 + "null" + "}" * 40)),
    ],
    ids=["pattern", "names", "names again", "unevaluated", "property names", "references"],
)
def test_no_answer_makes_a_schema_check_endless(schema: dict[str, Any], value: Any) -> None:
    """R3: a check that would take years is stopped, and is a fault of that answer alone: the next one is checked."""
    checker = AnswerSchema(schema)
    fault = fault_of(checker, Reply(text=json.dumps(value), finish_reason="stop"))
    assert fault is not None
    assert fault.code == "schema_violation"
    assert "within 1 s" in fault.message
    assert checker.complaint(3 if schema is not NESTED else {"y": 1}) is None or schema.get("type") == "string"


def test_unique_items_take_linear_time() -> None:
    """30,000 different objects are compared by their hashes, not each with each other (which takes minutes)."""
    checker = AnswerSchema({"type": "array", "uniqueItems": True})
    assert checker.complaint([{"a": [at]} for at in range(30_000)]) is None


@given(
    st.lists(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 0.5]), st.sampled_from(["", "1", "a"])),
            lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
            max_leaves=4,
        ),
        max_size=6,
    )
)
def test_unique_items_are_those_of_jsonschema(items: list[Any]) -> None:
    """1 and 1.0 are equal, 1 and true are not, the order of keys means nothing: as jsonschema has it."""
    schema = {"uniqueItems": True}
    ours = AnswerSchema(schema).complaint(items) is None
    assert ours == jsonschema.Draft202012Validator(schema).is_valid(items)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^a+$"}, "b"),
        ({"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False}, {"b": 1, "c": 2}),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"ab": 1}),
        ({"properties": {"x": {}}, "additionalProperties": False}, {"y": 1}),
        ({"properties": {"x": {}}, "additionalProperties": {"type": "string"}}, {"x": 1, "y": 1}),
        ({"uniqueItems": True}, [1, 1]),
    ],
)
def test_faults_read_as_those_of_jsonschema(schema: dict[str, Any], value: Any) -> None:
    """The keywords that are checked here in another way give the same errors, word by word."""
    deadline = Deadline()
    ours = bounded_validator(jsonschema.Draft202012Validator, deadline)(schema)
    assert [(e.json_path, e.message) for e in ours.iter_errors(value)] == [
        (e.json_path, e.message) for e in jsonschema.Draft202012Validator(schema).iter_errors(value)
    ]


def test_patterns_are_read_before_a_run() -> None:
    """A pattern that cannot be read is a fault of the schema, not of the first answer; what only looks like one is none."""
    for schema in ({"properties": {"a": {"pattern": "(unclosed"}}}, {"patternProperties": {"(unclosed": {}}}):
        with pytest.raises(ValueError, match="regex"):
            AnswerSchema(schema)
    compared = {"properties": {"pattern": {"enum": ["(unclosed"]}}, "const": {"pattern": "("}}
    assert AnswerSchema(compared).complaint({"pattern": "("}) is not None


def test_a_pattern_finds_what_re_finds() -> None:
    """Matches come in order, with their groups; empty ones too."""
    assert [match.span() for match in BoundedPattern("a*").matches("ba")] == [(0, 0), (1, 2), (2, 2)]
    assert BoundedPattern("B", ignore_case=True).is_in("abc")
    with pytest.raises(OutOfTimeError):
        BoundedPattern(SLOW).matches("a" * 60 + "!", 0.05)
