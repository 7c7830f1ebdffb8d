"""[prompt] schema in a job file: a table, or a file beside it; and every mistake in it."""

from __future__ import annotations

import json
from pathlib import Path

from batch.job import from_document
from tests.support.jobs import GOOD, loaded, problem

LABEL = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"], "additionalProperties": False}
FILE = GOOD.replace('user = "{{ question }}"', 'user = "{{ question }}"\nschema = "label.json"')


def test_a_schema_from_a_file_or_a_table(tmp_path: Path) -> None:
    """Both mean the same; strict is asked for where the schema's form allows it, unless the job says otherwise."""
    (tmp_path / "label.json").write_text(json.dumps(LABEL))
    table = (
        GOOD + '[prompt.schema]\ntype = "object"\nrequired = ["label"]\nadditionalProperties = false\nproperties.label.type = "string"\n'
    )
    for text in (FILE, table):
        prompt = loaded(tmp_path, text).job.variants[0].prompt
        assert (prompt.schema, prompt.schema_strict, prompt.check_schema) == (LABEL, True, True)
    prompt = loaded(tmp_path, FILE, "prompt.schema_strict=false", "prompt.check_schema=false").job.variants[0].prompt
    assert (prompt.schema_strict, prompt.check_schema) == (False, False)


def test_a_run_goes_on_without_the_file(tmp_path: Path) -> None:
    """The job's document holds the schema itself, so that `resume` needs no file but the run's own (promise 9)."""
    (tmp_path / "label.json").write_text(json.dumps(LABEL))
    first = loaded(tmp_path, FILE)
    (tmp_path / "label.json").unlink()
    assert from_document(json.loads(json.dumps(first.document)), environ={}).job == first.job


def test_a_model_has_a_schema_of_its_own_or_none(tmp_path: Path) -> None:
    """A model's prompt replaces the schema; an empty table takes it away."""
    (tmp_path / "label.json").write_text(json.dumps(LABEL))
    more = '\n[[model]]\nid = "groq/a"\nprompt.schema = {type = "object"}\n\n[[model]]\nid = "groq/b"\nprompt.schema = {}\n'
    schemas = [variant.prompt.schema for variant in loaded(tmp_path, FILE + more).job.variants]
    assert schemas == [LABEL, {"type": "object"}, None]


def test_what_is_wrong_with_a_schema_is_said_with_its_line(tmp_path: Path) -> None:
    """A missing file, text that is no JSON, what is no schema, and what cannot be used with it: each with its place."""
    found = problem(tmp_path, FILE)
    assert (found.place, found.key) == ("job.toml:6", "prompt.schema")
    assert "there is no file" in found.message
    (tmp_path / "label.json").write_text("{")
    assert "is not JSON" in problem(tmp_path, FILE).message
    (tmp_path / "label.json").write_text("[]")
    assert "is not a JSON Schema" in problem(tmp_path, FILE).message
    (tmp_path / "label.json").write_text('{"type": "objekt"}')
    assert "$.type" in problem(tmp_path, FILE).message
    (tmp_path / "label.json").write_text(json.dumps({"name": "label", "strict": True, "schema": LABEL}))
    assert problem(tmp_path, FILE).hint == 'keep only the value of "schema"'
    (tmp_path / "label.json").write_text(json.dumps(LABEL))
    beside = problem(tmp_path, FILE + 'response_format = {type = "json_object"}\n')
    assert (beside.key, beside.hint) == ("model[0].response_format", "keep one of the two")
    text = FILE.replace('user = "{{', 'api = "embeddings"\ntext = "{{')
    assert problem(tmp_path, text).key == "prompt.schema"


def test_presets_say_what_they_do_with_a_schema(tmp_path: Path) -> None:
    """A preset's support is the default, a provider's own table comes over it."""
    own = '\n[[model]]\nid = "house/a"\n\n[provider.house]\nbase_url = "http://127.0.0.1:1"\njson_schema = "enforced"\n'
    deepseek = '\n[[model]]\nid = "deepseek/a"\n\n[[model]]\nid = "local/a"\n'
    found = [variant.provider.json_schema for variant in loaded(tmp_path, GOOD + own + deepseek, environ={}).job.variants]
    assert found == ["strict", "enforced", "json_object", "enforced"]
