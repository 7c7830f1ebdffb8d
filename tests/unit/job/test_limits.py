"""Job files that are too large, too deep, of numbers without end, or no files at all: a mistake each, never a crash or a wait."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job import from_document, load
from tests.support.jobs import GOOD, loaded, problem, write

DEEP = [
    "x = " + "[" * 20_000 + "]" * 20_000,
    "x = " + "[" * 600 + "]" * 600,
    "x = " + "{a = " * 400 + "1" + "}" * 400,
    ".".join(["x"] * 5_000) + " = 1",
    "[" + ".".join(["x"] * 3_000) + "]",
    "extra_body.a = " + "[" * 300 + "]" * 300,
]


@pytest.mark.parametrize("line", DEEP, ids=range(len(DEEP)))
def test_deep_nesting_is_a_mistake_of_the_file(tmp_path: Path, line: str) -> None:
    """Lists, tables and dotted keys beyond what Python's stack, or JSON's writer, bears."""
    with pytest.raises(JobError, match="nested too deeply"):
        loaded(tmp_path, f"{GOOD}{line}\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"seed = {'9' * 5_000}", "thousands of digits"),
        (f"seed = 0x{'f' * 5_000}", "a number of about 6,000 digits is beyond 64 bits"),
        (f"extra_body = {{a = {2**64}}}", "18446744073709551616 is beyond 64 bits"),
        (f"[run]\nconcurrency = {10**30}", "is beyond 64 bits"),
        (f"[input.x]\ny = [{-(2**63) - 1}]", "is beyond 64 bits"),
    ],
)
def test_numbers_that_nothing_can_hold(tmp_path: Path, line: str, says: str) -> None:
    """Integers beyond 64 bits, which no request and no run.json can carry, and those that Python refuses to read."""
    with pytest.raises(JobError, match=says):
        loaded(tmp_path, f"{GOOD}{line}\n")


def test_the_largest_numbers_are_taken(tmp_path: Path) -> None:
    """From -2^63 to 2^64 - 1 all are sent as written."""
    text = f"{GOOD}extra_body = {{low = {-(2**63)}, high = {2**64 - 1}}}\n"
    assert loaded(tmp_path, text).job.variants[0].parameters == {"low": -(2**63), "high": 2**64 - 1}


def test_set_takes_odd_values_as_text(tmp_path: Path) -> None:
    """A --set value that TOML cannot read is text, whatever TOML's reader raises; where a number is wanted that is said."""
    with pytest.raises(JobError, match="must be a whole number"):
        loaded(tmp_path, GOOD, f"run.attempts={'9' * 5_000}")
    deep = "[" * 20_000
    assert loaded(tmp_path, GOOD, f"prompt.user={{{{ x }}}} {deep}").job.variants[0].prompt.user == f"{{{{ x }}}} {deep}"


@pytest.mark.parametrize("key", ["extends", "schema"])
@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "large"])
def test_what_is_no_small_file_is_not_read(tmp_path: Path, key: str, kind: str) -> None:
    """A device without end, a pipe that nothing writes, a folder, a file of gigabytes: refused at once, with the place."""
    path = tmp_path / "other"
    if kind == "device":
        path = Path("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 3 * 1024**3)
    text = f'extends = "{path}"\n{GOOD}' if key == "extends" else GOOD.replace("[prompt]", f'[prompt]\nschema = "{path}"')
    found = problem(tmp_path, text)
    assert found.place == ("job.toml:1" if key == "extends" else "job.toml:5")
    assert "cannot be read" in found.message


def test_a_job_may_come_by_a_pipe_but_not_without_end(tmp_path: Path) -> None:
    """`run <(make-job)` works; /dev/zero as the job is a mistake."""
    reader, writer = os.pipe()
    os.write(writer, GOOD.encode())
    os.close(writer)
    assert load(f"/dev/fd/{reader}", environ={}).job.variants[0].name == "openai/gpt-5-mini"
    os.close(reader)
    with pytest.raises(JobError, match="device or a pipe"):
        load("/dev/zero", environ={})


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
@pytest.mark.parametrize("inner", [False, True])
def test_references_to_other_documents_are_refused(tmp_path: Path, keyword: str, inner: bool) -> None:
    """A schema that names a document elsewhere would have to be fetched: it never is, and that is said before anything is sent."""
    part = {keyword: "http://127.0.0.1:1/other.json#/x"}
    schema = {"type": "object", "properties": {"a": {"$id": "https://example.test/part", "items": part} if inner else part}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    found = problem(tmp_path, GOOD.replace("[prompt]", '[prompt]\nschema = "s.json"'))
    assert "another document, which is never fetched" in found.message


def test_references_within_a_schema_are_taken(tmp_path: Path) -> None:
    """By pointer, anchor or the id of a part, and to the draft's own schema."""
    schema = {
        "$id": "https://example.test/root",
        "$defs": {"a": {"$id": "part", "type": "string"}, "b": {"$dynamicAnchor": "node", "type": "object"}},
        "properties": {
            "one": {"$ref": "#/$defs/a"},
            "two": {"$ref": "part"},
            "three": {"$dynamicRef": "#node"},
            "four": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        },
    }
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert loaded(tmp_path, GOOD.replace("[prompt]", '[prompt]\nschema = "s.json"')).job.variants[0].prompt.schema == schema


def test_a_deep_schema_is_a_mistake(tmp_path: Path) -> None:
    """A schema of many levels, in the job or in its file."""
    schema: dict[str, object] = {}
    for _ in range(300):
        schema = {"properties": {"a": schema}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert "nested too deeply" in problem(tmp_path, GOOD.replace("[prompt]", '[prompt]\nschema = "s.json"')).message
    with pytest.raises(JobError, match="nested too deeply"):
        from_document({"input": {"path": "a.jsonl"}, "prompt": {"user": "{{ x }}", "schema": schema}}, environ={})


@pytest.mark.parametrize(
    ("prompt", "key", "name"),
    [
        ('user = "What is {text}?"', "prompt.user", "text"),
        ('user = "What is { text }?"', "prompt.user", "text"),
        ('system = "Be {tone}."\nuser = "Hello"', "prompt.system", "tone"),
        ('messages = [{role = "user", content = "Is it {text}?"}]', "prompt.messages", "text"),
        ('api = "embeddings"\ntext = "{text}"', "prompt.text", "text"),
    ],
)
def test_single_braces_in_a_prompt_without_columns(tmp_path: Path, prompt: str, key: str, name: str) -> None:
    """Braces as Python's format has them would be sent to every row as they are: a mistake, with what to write (fault 70)."""
    found = problem(tmp_path, GOOD.replace('user = "{{ question }}"', prompt))
    assert (found.key, found.hint) == (key, f"write {{{{ {name} }}}} to insert the column")


@pytest.mark.parametrize(
    "text", ["{{ q }} as {name}", 'JSON such as {\\"a\\": 1}: {{ q }}', "{% for x in q %}{x}{% endfor %}", "{{ q }} ${HOME}"]
)
def test_braces_beside_a_column_are_text(tmp_path: Path, text: str) -> None:
    """A prompt that inserts a column may hold any other braces."""
    assert loaded(tmp_path, GOOD.replace("{{ question }}", text)).warnings == ()


def test_single_braces_in_a_score(tmp_path: Path) -> None:
    """The same in the templates of scores."""
    assert problem(tmp_path, f'{GOOD}[[score]]\nkind = "exact"\nexpected = "{{city}}"\n').key == "score[0].expected"


def test_a_prompt_without_a_column_is_said(tmp_path: Path) -> None:
    """All rows would send the same, which may be meant: a warning; not where tools or stored chats make rows differ (fault 70)."""
    (warning,) = loaded(tmp_path, GOOD.replace("{{ question }}", "Say hello")).warnings
    assert "uses no column of the input" in warning
    for prompt in ('user = "Hello"\ntools = "t"', 'messages = "chat"'):
        assert loaded(tmp_path, GOOD.replace('user = "{{ question }}"', prompt)).warnings == ()


def test_a_name_of_a_column_of_ours_is_refused(tmp_path: Path) -> None:
    """A carried-over column must not overwrite one of promptmill's own, the embedding among them."""
    assert "promptmill's own" in problem(tmp_path, f"{GOOD}[output]\ncolumns = ['embedding']\n").message


def test_the_parent_s_mistake_is_told_with_its_file(tmp_path: Path) -> None:
    """Nesting in an extended file is named with that file."""
    write(tmp_path, DEEP[0], "base.toml")
    with pytest.raises(JobError, match=r"base\.toml: is nested too deeply"):
        loaded(tmp_path, f'extends = "base.toml"\n{GOOD}')


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD.replace("rows.jsonl", "a\\u0000b"), "input.path"),
        (GOOD.replace("rows.jsonl", "s3://bucket/a\\u0000b"), "input.path"),
        (GOOD + '[output]\ndir = "a\\u0000b"\n', "output.dir"),
        (GOOD.replace("[prompt]", '[prompt]\nschema = "a\\u0000b"'), "prompt.schema"),
        (f'extends = "a\\u0000b"\n{GOOD}', "extends"),
        (GOOD.replace("openai/", "local/") + '[provider.local]\nmodel_path = "a\\u0000b"\n', "provider.local.model_path"),
        (GOOD + '[[score]]\nkind = "python"\nfunction = "a\\u0000.py:f"\n', "score[0].function"),
        (GOOD.replace("rows.jsonl", "~nosuchuser/rows.jsonl"), "input.path"),
        (f'extends = "~nosuchuser/job.toml"\n{GOOD}', "extends"),
        (GOOD.replace("rows.jsonl", "9" * 5000 + "*.jsonl"), "input.path"),
        (GOOD.replace("rows.jsonl", "é" * 200), "input.path"),
        (GOOD + f'[output]\ndir = "{"a/" * 3000}"\n', "output.dir"),
        (f'extends = "{"a" * 300}"\n{GOOD}', "extends"),
    ],
)
def test_what_cannot_be_a_path(tmp_path: Path, text: str, key: str) -> None:
    """A NUL, a name that no file can have, or the home of a user who does not exist, wherever a job names a path: a mistake at that key."""
    assert problem(tmp_path, text).key == key


def test_patterns_that_python_refuses(tmp_path: Path) -> None:
    """A regular expression with an absurd repetition, in a score and in a schema."""
    assert problem(tmp_path, GOOD + '[[score]]\nkind = "regex"\npattern = "a{99999999999}"\n').key == "score[0].pattern"
    (tmp_path / "s.json").write_text(json.dumps({"type": "object", "patternProperties": {"a{99999999999}": {}}}))
    assert problem(tmp_path, GOOD.replace("[prompt]", '[prompt]\nschema = "s.json"')).key == "prompt.schema"


def test_the_user_s_providers_are_a_file(tmp_path: Path) -> None:
    """A pipe in the place of providers.toml is refused and not waited for."""
    (tmp_path / "promptmill").mkdir()
    os.mkfifo(tmp_path / "promptmill" / "providers.toml")
    write(tmp_path, GOOD)
    with pytest.raises(JobError, match="device or a pipe"):
        load(tmp_path / "job.toml", environ={"XDG_CONFIG_HOME": str(tmp_path)})
