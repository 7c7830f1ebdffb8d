"""Schemas that answers are held to: which are taken, what fits, how one is asked for and how a model is told."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from batch.policy.usage import added
from batch.prompts import AnswerSchema, RequestBuilder, bounded
from batch.prompts.schemas import fault_of, is_enforced, is_mendable, is_strict_form, mending
from batch.records import Reply, Request
from batch.settings import PromptSettings
from tests.support.files import body, row, variant

LABEL = {
    "title": "Ticket label",
    "type": "object",
    "properties": {"label": {"enum": ["bug", "wish"]}, "urgency": {"type": "integer", "minimum": 1}},
    "required": ["label", "urgency"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('{"label": "bug", "urgency": 2}', None, ""),
        (' {"label": "bug", "urgency": 2.0}\n', None, ""),
        ('{"label": "praise", "urgency": 2}', "schema_violation", "$.label: 'praise' is not one of ['bug', 'wish']"),
        ('{"label": "bug"}', "schema_violation", "'urgency' is a required property"),
        ('```json\n{"label": "bug", "urgency": 2}\n```', "answer_not_json", "the answer is not JSON"),
        ('{"label": "bug", "urgency": NaN}', "answer_not_json", "the answer is not JSON"),
        ("", "answer_not_json", "the answer is empty"),
        (None, "answer_not_json", "the answer is empty"),
        ("[" * 100_000, "answer_not_json", "the answer is not JSON"),
        ('"\\ud800"', "schema_violation", "is not of type 'object'"),
    ],
)
def test_what_fits(text: str | None, code: str | None, message: str) -> None:
    """An answer fits when the whole of it is JSON that the schema accepts; else the place and the reason are told."""
    fault = fault_of(AnswerSchema(LABEL), Reply(text=text, finish_reason="stop"))
    assert (fault and fault.code) == code
    assert message in (fault.message if fault else "")
    assert fault is None or fault.kind == "output"


def test_a_long_value_does_not_make_a_long_complaint() -> None:
    """The message has a bound, whatever the answer holds."""
    fault = fault_of(AnswerSchema(LABEL), Reply(text=orjson.dumps({"label": "x" * 10_000, "urgency": 1}).decode()))
    assert fault is not None
    assert len(fault.message) < 400


def test_tool_calls_are_no_answers_to_be_checked() -> None:
    """A model that calls a tool has not answered yet."""
    assert fault_of(AnswerSchema(LABEL), Reply(tool_calls=[{"id": "1"}], finish_reason="tool_calls")) is None


def test_asking_again_is_no_use_where_the_same_would_come() -> None:
    """Answers that were cut off, filtered or refused are not asked for again, and say so."""
    cut = Reply(text='{"label"', finish_reason="length")
    refused = Reply(refusal="I can't help with that.", finish_reason="stop")
    filtered = Reply(text="", finish_reason="content_filter")
    faults = [fault_of(AnswerSchema(LABEL), reply) for reply in (cut, refused, filtered)]
    assert [fault and fault.code for fault in faults] == ["answer_not_json", "refusal", "answer_not_json"]
    assert "raise max_tokens" in str(faults[0])
    assert "I can't help with that." in str(faults[1])
    assert not any(map(is_mendable, (cut, refused, filtered)))
    assert is_mendable(Reply(text="Sure!", finish_reason="stop"))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, "$.type"),
        ({"$ref": "#/$defs/nowhere"}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "https://example.com/other.json"}}}, "not fetched"),
        ({"$ref": "#"}, "circle"),
        ([], "an object"),
        ({"pattern": "("}, "$.pattern"),
    ],
)
def test_what_is_no_schema(schema: Any, message: str) -> None:
    """A schema that could fail, or would have to be fetched, is refused before anything is sent."""
    with pytest.raises(ValueError, match=re.escape(message)):
        AnswerSchema(schema)


def test_schemas_may_refer_to_themselves() -> None:
    """Recursive schemas are taken, and an answer that is nested too deeply is no crash."""
    tree = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"next": deep}
    assert AnswerSchema(tree).complaint({"next": {"next": {}}}) is None
    assert AnswerSchema(tree).complaint({"next": {"next": 3}}) == "$.next.next: 3 is not of type 'object'"
    assert AnswerSchema(tree).complaint(deep) == "$: nested too deeply"


def test_the_request_asks_for_the_schema() -> None:
    """The schema goes as response_format, with strict where it is wanted; where an endpoint takes none, JSON is asked for."""
    sent = body(variant(user="x", schema=LABEL, schema_strict=True), row())["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "Ticket_label", "schema": LABEL, "strict": True}}
    plain = body(variant(user="x", schema={"type": "object"}), row())["response_format"]
    assert plain == {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    only_json = body(variant(user="x", schema=LABEL, provider={"json_schema": "json_object"}), row())["response_format"]
    assert only_json == {"type": "json_object"}


def test_the_schema_is_part_of_the_key() -> None:
    """Another schema means other answers, also where the endpoint is not told of it (promise 9)."""

    def key(**settings: Any) -> bytes:
        return RequestBuilder(variant(**{"user": "x", **settings}), False).build(row()).key

    other = {**LABEL, "title": "other"}
    apart = {"provider": {"json_schema": "json_object"}}
    keys = {key(), key(schema=LABEL), key(schema=other), key(schema=LABEL, schema_strict=True), key(schema=LABEL, **apart)}
    assert len(keys) == 5
    assert key(schema=LABEL, **apart) != key(schema=other, **apart)
    assert key(schema=LABEL, check_schema=False) == key(schema=LABEL)


def test_strict_form_is_known() -> None:
    """Strict is asked for only where OpenAI would take the schema."""
    assert is_strict_form(LABEL)
    assert is_strict_form({**LABEL, "properties": {"label": {"anyOf": [{"type": "null"}, LABEL]}, "urgency": {"items": LABEL}}})
    assert not is_strict_form(None)
    assert not is_strict_form({**LABEL, "required": ["label"]})
    assert not is_strict_form({**LABEL, "additionalProperties": True})
    assert not is_strict_form({**LABEL, "properties": {"label": {"type": "string", "minLength": 1}, "urgency": {}}})
    assert not is_strict_form({"type": "array", "items": LABEL})
    assert not is_strict_form({**LABEL, "properties": {"label": {"type": "object"}, "urgency": {}}})


def test_who_promises() -> None:
    """Whether answers can be trusted to fit depends on the endpoint, and with some on strict."""
    loose, strict = PromptSettings(schema={"type": "object"}), PromptSettings(schema=LABEL, schema_strict=True)
    assert [is_enforced(strict, support) for support in ("enforced", "strict", "sent", "json_object")] == [True, True, False, False]
    assert [is_enforced(loose, support) for support in ("enforced", "strict", "sent", "json_object")] == [True, False, False, False]


def test_mending_adds_two_messages_and_changes_nothing_else() -> None:
    """The model sees its answer and what was wrong with it; numbers of any size and the key stay as they were."""
    request = Request(
        "chat/completions", b'{"model":"m","messages":[{"role":"user","content":"\xc3\xa9"}],"seed":18446744073709551617}', b"k" * 16
    )
    mended = mending(request, "Sure!", "the answer is not JSON: x", LABEL)
    assert b"18446744073709551617" in mended.body
    assert mended.key == request.key
    *_, told, asked = orjson.loads(mended.body)["messages"]
    assert told == {"role": "assistant", "content": "Sure!"}
    assert asked["content"].startswith("The answer is not JSON: x. Answer again")
    assert orjson.dumps(LABEL).decode() in asked["content"]


def test_usage_is_added_up() -> None:
    """What two answers used: numbers and the tables of numbers; what is no number is the newer's."""
    first = {"prompt_tokens": 5, "cost": 0.5, "prompt_tokens_details": {"cached_tokens": 2}, "queue": "a", "is_byok": True}
    second = {"prompt_tokens": 7, "cost": 0.25, "prompt_tokens_details": {"cached_tokens": 1, "audio": None}, "queue": "b", "is_byok": True}
    total = {"prompt_tokens": 12, "cost": 0.75, "prompt_tokens_details": {"cached_tokens": 3, "audio": None}, "queue": "b", "is_byok": True}
    assert added(first, second) == total
    assert added(None, second) == second
    assert added(first, None) == first


def _multiplied(last: dict[str, Any]) -> dict[str, Any]:
    levels = {f"d{number}": {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 10} for number in range(12)}
    return {"$defs": {**levels, "d12": last}, "$ref": "#/$defs/d0"}


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (_multiplied({}), "its references multiply"),
        (_deep(3000), "nested too deeply"),
        ({"$dynamicRef": "#x"}, "it cannot be used"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "go round in a circle"),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "go round in a circle"),
    ],
)
def test_a_schema_that_cannot_be_checked_in_time_or_at_all_is_refused(schema: dict[str, Any], says: str) -> None:
    """Whatever a library raises over it, it is a ValueError before anything is sent (R3, R7)."""
    with pytest.raises(ValueError, match=says):
        AnswerSchema(schema)


def test_numbers_that_cannot_be_compared_are_a_complaint() -> None:
    """Arithmetic of a model's number and a schema's may overflow: that answer does not fit, and nothing else ends (fault 61)."""
    complaint = AnswerSchema({"multipleOf": 0.1}).complaint(10**400)
    assert complaint is not None
    assert complaint.startswith("$: ")


def test_a_deep_check_ends_before_the_stack_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of Python's stack is left to it, what is too deep is a complaint: a panic of rpds would end the process."""
    tree = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}
    deep: dict[str, Any] = {}
    for _ in range(89):
        deep = {"next": deep}
    assert AnswerSchema(tree).complaint(deep) is None
    monkeypatch.setattr(bounded, "DEEPEST", 100)
    assert AnswerSchema(tree).complaint(deep) == "$: nested too deeply"
