"""Scorers of structured answers (json, json_schema, json_fields), the python scorer, and the register of all kinds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from batch.errors import SetupError
from batch.evaluation.scorers import KINDS, make_scorer, scorer_version
from batch.evaluation.scorers.sample import ExpectedError, Sample
from batch.evaluation.scorers.structured import json_fields, json_schema, valid_json
from batch.evaluation.scorers.user_function import python
from batch.settings import ScoreSettings

JSON = [
    ('{"a": 1}', 1),
    (" [1, 2]\n", 1),
    ("null", 1),
    ('"text"', 1),
    ('```json\n{"a": 1}\n```', 1),
    ('Here it is:\n```\n{"a": 1}\n```\nDone.', 1),
    ('~~~json\n{"a": 1}\n~~~', 1),
    ('```json\nnonsense\n```\n```json\n{"a": 1}\n```', 1),
    ('<think>{</think>{"a": 1}', 1),
    ('{"a": "x```y"}', 1),
    ('Here it is: {"a": 1}', 0),
    ("{'a': 1}", 0),
    ('{"a": 1,}', 0),
    ('{"a": NaN}', 0),
    ("Infinity", 0),
    ('{"a": 1', 0),
    ("", 0),
    ("[" * 100_000, 0),
    (None, None),
]


@pytest.mark.parametrize(("text", "value"), JSON)
def test_json(text: str | None, value: float | None) -> None:
    """JSON is the whole answer, or a block in it; here the form itself is judged, so what is no JSON is 0."""
    assert valid_json()(Sample(text)).value == value


def test_cut_off_json_is_told() -> None:
    """The reason says that an answer was cut off."""
    assert "cut off" in valid_json()(Sample('{"a": 1', truncated=True)).reason


SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}, "size": {"type": "integer"}}}


def test_json_schema(tmp_path: Path) -> None:
    """An answer fits the schema or not, and the reason says where."""
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    scorer = json_schema(schema=str(file))
    assert scorer(Sample('{"city": "Paris", "size": 3}')).value == 1
    cell = scorer(Sample('{"city": "Paris", "size": "big"}'))
    assert cell.value == 0
    assert "$.size" in cell.reason
    assert scorer(Sample("Paris")).value == 0
    assert scorer(Sample(None)).value is None
    assert scorer(Sample('It is {"city": "Paris"}')).value == 0
    assert json_schema(schema=str(file), embedded=True)(Sample('It is {"city": "Paris"}.')).value == 1
    call = {"function": {"name": "answer", "arguments": '{"city": "Paris"}'}}
    assert scorer(Sample(None, tool_calls=[call])).value == 1
    assert scorer(Sample(None, tool_calls=[call, call])).value is None


@pytest.mark.parametrize("text", ["nonsense", '{"type": "objekt"}'])
def test_bad_schemas_are_refused(tmp_path: Path, text: str) -> None:
    """A schema that is none is a fault of the set-up, not of the answers."""
    file = tmp_path / "schema.json"
    file.write_text(text)
    with pytest.raises(SetupError, match=r"schema\.json"):
        json_schema(schema=str(file))


EXPECTED = {"city": "Paris", "size": 3, "address": {"zip": "75001", "street": None}, "tags": ["a", "b"]}
FIELDS = [
    ('{"city": "Paris", "size": 3, "address": {"zip": "75001"}, "tags": ["a", "b"]}', 1.0),
    ('{"city": "PARIS.", "size": 3.0, "address": {"zip": 75001, "street": null}, "tags": ["A", "b"], "more": 1}', 1.0),
    ('{"city": "Lyon", "size": 3, "address": {"zip": "75001"}, "tags": ["b", "a"]}', 0.6),
    ('{"city": "Paris"}', 0.4),
    ('{"city": null, "size": true, "address": "75001", "tags": []}', 0.2),
    ('Sure! {"city": "Paris"}', 0.4),
    ('["Paris"]', None),
    ("Paris", None),
    ("", None),
    ('{"city": "Par', None),
    (None, None),
]


@pytest.mark.parametrize(("text", "value"), FIELDS)
def test_json_fields(text: str | None, value: float | None) -> None:
    """The share of expected fields that are equal; what cannot be read is unscored."""
    cell = json_fields()(Sample(text, EXPECTED))
    assert cell.value == (None if value is None else pytest.approx(value))
    assert json_fields()(Sample(text, json.dumps(EXPECTED))).value == cell.value


def test_json_fields_of_choice() -> None:
    """Only the named fields count, with all that lies below them."""
    answer = '{"city": "Lyon", "address": {"zip": "75001"}}'
    assert json_fields(fields=["address"])(Sample(answer, EXPECTED)).value == 1
    assert json_fields(fields=["city"])(Sample(answer, EXPECTED)).value == 0
    for expected in (EXPECTED, None, "Paris", "[1]", {}):
        with pytest.raises(ExpectedError):
            json_fields(fields=["town"])(Sample(answer, expected))


def test_a_lone_tool_call_is_structured_output() -> None:
    """Where there is no text, the arguments of the only tool call are the answer."""
    call = {"function": {"name": "f", "arguments": {"city": "Paris"}}}
    assert json_fields()(Sample(None, {"city": "Paris"}, tool_calls=[call])).value == 1


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(
        "def good(answer, expected, row):\n    return answer == expected, f'row {row[\"n\"]}'\n"
        "def share(answer, expected, row):\n    return 0.25\n"
        "def nothing(answer, expected, row):\n    return None\n"
        "def broken(answer, expected, row):\n    return 1 / 0\n"
        "def odd(answer, expected, row):\n    return 7\n"
        "def calls(answer, expected, row):\n    return len(row['tool_calls']) == 1\n"
        "value = 3\n"
    )
    return file


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("good", 1, "row 5"),
        ("share", 0.25, "by the function"),
        ("nothing", None, "nothing gave None"),
        ("broken", None, "broken raised ZeroDivisionError: division by zero"),
        ("odd", None, "odd gave 7, which is no number from 0 to 1"),
    ],
)
def test_python(user_file: Path, name: str, value: float | None, reason: str) -> None:
    """A function of the user's gives marks; what it raises, and what is no mark, leaves the answer unscored."""
    cell = python(function=f"{user_file}:{name}")(Sample("x", "x", columns={"n": 5}))
    assert (cell.value, cell.reason) == (value, reason)


def test_python_gets_tool_calls(user_file: Path) -> None:
    """Tool calls are handed over beside the row's columns."""
    assert python(function=f"{user_file}:calls")(Sample(None, None, tool_calls=[{}])).value == 1


@pytest.mark.parametrize("function", ["mine.py", "mine.py:", "absent.py:good", "mine.py:value", "mine.py:none", "bad.py:good"])
def test_python_functions_that_are_not_there(user_file: Path, function: str) -> None:
    """A file or function that cannot be had is a fault of the set-up."""
    (user_file.parent / "bad.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(SetupError):
        python(function=str(user_file.parent / function))


def test_versions_follow_everything_that_decides_the_marks(user_file: Path) -> None:
    """Another option, expected value or file content is another version; another name, slice or cluster is not (promise 9)."""

    def version(**settings: Any) -> str:
        return scorer_version(ScoreSettings(**{"name": "a", "kind": "number", "expected": "n", **settings}))

    assert version() == version(name="b", slices=("x",), cluster="y")
    assert len({version(), version(expected="m"), version(kind="exact"), version(options={"tolerance": 1.0})}) == 4
    options = {"function": f"{user_file}:good"}
    before = version(kind="python", options=options)
    user_file.write_text(user_file.read_text() + "\n# changed\n")
    assert version(kind="python", options=options) != before


def test_every_kind_can_be_made(tmp_path: Path, user_file: Path) -> None:
    """Each kind makes a scorer that leaves a null completion unscored."""
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    needed = {"regex": {"pattern": "x"}, "json_schema": {"schema": str(schema)}, "python": {"function": f"{user_file}:nothing"}}
    for kind in KINDS:
        if kind == "math" and importlib.util.find_spec("math_verify") is None:
            continue
        scorer = make_scorer(ScoreSettings(name=kind, kind=kind, options=needed.get(kind, {})))
        expected = {"choice": "A", "number": 1, "math": "1", "json_fields": {"a": 1}, "tool_call": {"name": "f"}}.get(kind, "x")
        assert scorer(Sample(None, expected)).state == "unscored", kind


def test_no_answer_makes_a_structured_score_endless(tmp_path: Path) -> None:
    """R3: a schema that backtracks leaves the answer unscored; a text of nothing but brackets or fences is read and found to be no JSON."""
    schema = tmp_path / "s.json"
    schema.write_text(json.dumps({"type": "string", "pattern": "^(?:(a|aa)+)$"}))
    found = KINDS["json_schema"].make(schema=str(schema))(Sample(json.dumps("a" * 60 + "!")))
    assert (found.state, found.reason) == ("unscored", "the check against the schema took longer than 1 s")
    embedded = KINDS["json_schema"].make(schema=str(schema), embedded=True)
    assert embedded(Sample("[" * 100_000)).value == 0
    assert KINDS["json"].make()(Sample("\n".join("`" * (3 + at) for at in range(600)))).value == 0


def test_nan_is_no_json_wherever_it_stands() -> None:
    """RFC 8259 has no NaN and no Infinity: neither in the whole answer nor in an object within prose."""
    score = KINDS["json_fields"].make()
    assert score(Sample('{"a": NaN}', {"a": 1})).state == "unscored"
    assert score(Sample('Here: {"a": NaN} or so', {"a": 1})).state == "unscored"
    assert score(Sample('Here: {"a": Infinity}, I mean {"a": 1}', {"a": 1})).value == 1


def test_of_several_objects_the_one_that_fits_is_read(tmp_path: Path) -> None:
    """Quoted examples and lists beside the answer are passed over; of several that fit, the last counts."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    text = 'Sources [1], as in {"name": "x"}: {"city": "Rome"} {"ok": true}'
    assert json_schema(schema=str(schema), embedded=True)(Sample(text)).value == 1
    assert json_schema(schema=str(schema))(Sample('```json\n{"city": "Rome"}\n```\n```json\n{"note": 1}\n```')).value == 1
    assert json_schema(schema=str(schema), embedded=True)(Sample('{"name": "x"} and {"town": 1}')).value == 0
    assert json_fields()(Sample(text, {"city": "Rome"})).value == 1
    assert json_fields()(Sample('First {"city": "Oslo"}, no: {"city": "Rome"}', {"city": "Rome"})).value == 1


def test_fences_are_taken_by_choice(tmp_path: Path) -> None:
    """Where the answer goes straight into a parser, a ``` block around it is wrong."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    fenced = '```json\n{"city": "Rome"}\n```'
    assert valid_json(fences=False)(Sample(fenced)).value == 0
    assert json_schema(schema=str(schema), fences=False)(Sample(fenced)).value == 0
    assert json_fields(fences=False, embedded=False)(Sample(fenced, {"city": "Rome"})).state == "unscored"
    assert valid_json(fences=False)(Sample('{"city": "Rome"}')).value == 1


def test_an_expected_object_with_nan_is_a_fault_of_the_data() -> None:
    """RFC 8259 holds for the right values too."""
    with pytest.raises(ExpectedError):
        json_fields()(Sample("{}", '{"a": NaN}'))
