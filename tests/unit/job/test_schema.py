"""The JSON Schema for editors, and the examples in jobs/."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batch.job import json_schema, load
from batch.job.model import RunSection
from batch.job.parameters_model import Parameters
from batch.prompts import RequestBuilder
from batch.providers.parameters import COMMON_PARAMETERS
from batch.providers.presets import PRESETS
from batch.readers import Dataset
from batch.records import Row
from batch.settings import RunSettings

JOBS = Path(__file__).parents[3] / "jobs"
EXAMPLES = sorted(JOBS.glob("*.toml"))
ENVIRON = {"ANYSCALE_BASE_URL": "https://service.example.com"}


def test_schema_has_not_drifted() -> None:
    """jobs/job.schema.json is what `promptmill schema` prints; `promptmill schema > jobs/job.schema.json` mends it."""
    assert json.loads((JOBS / "job.schema.json").read_text(encoding="utf-8")) == json_schema()


def test_every_setting_is_described() -> None:
    """An editor can show one line for each setting; there are no references and no nulls, which some editors do not follow."""

    def walk(node: dict[str, Any], path: str) -> None:
        for name, item in node.get("properties", {}).items():
            assert item.get("description"), f"{path}.{name}"
            walk(item.get("items", item), f"{path}.{name}")

    schema = json_schema()
    walk(schema, "")
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "null" not in text
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_request_parameters_are_in_the_schema() -> None:
    """The common ones, typed, and each provider's own with the providers' names."""
    model = json_schema()["properties"]["model"]["items"]["properties"]
    assert set(COMMON_PARAMETERS) == set(Parameters.model_fields)
    assert set(COMMON_PARAMETERS) <= set(model)
    assert model["temperature"]["anyOf"][0]["minimum"] == 0
    for preset in PRESETS.values():
        for option in preset.options:
            assert preset.name in model[option]["description"]


def test_run_settings_are_all_in_the_job_file() -> None:
    """[run] has every field of RunSettings with the same default."""
    assert RunSettings(**RunSection().model_dump()) == RunSettings()
    assert set(RunSection.model_fields) == set(RunSettings.__dataclass_fields__)


STEP_ROW = Row(0, "r001/0", {"id": "r001", "review": "Good.", "label": "positive", "item": "good", "parsed": {}}, "rows.jsonl", 1)
"""A row as the examples of steps have it, which are made of answers."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_load(path: Path) -> None:
    """Every job in jobs/ loads, names its schema, and can make a request of the first row of its input."""
    job = load(path, environ=ENVIRON).job
    assert path.read_text(encoding="utf-8").startswith("#:schema ./job.schema.json\n")
    row = next(Dataset(job.input).batches())[0] if job.input.step is None else STEP_ROW
    assert isinstance(row, Row)
    assert set(job.output.columns) <= set(row.columns)
    for variant in job.variants:
        assert RequestBuilder(variant, stream=job.run.stream).build(row).body


def test_examples_are_there() -> None:
    """The examples that issue 2 asks for."""
    assert {"openai.toml", "anyscale.toml", "vllm.toml", "ollama.toml", "many-models.toml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_hold_only_what_the_schema_knows(path: Path) -> None:
    """An editor with the schema marks nothing in the examples."""

    def walk(value: Any, schema: dict[str, Any], place: str) -> None:
        if isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                walk(item, schema["items"], f"{place}[{index}]")
        elif isinstance(value, dict) and "properties" in schema:
            for key, item in value.items():
                assert key in schema["properties"], f"{place}.{key}"
                walk(item, schema["properties"][key], f"{place}.{key}")

    walk(tomllib.loads(path.read_text(encoding="utf-8")), json_schema(), path.name)


def test_a_good_job_needs_no_line_numbers() -> None:
    """tree-sitter is loaded only when there is a mistake to point at."""
    script = (
        "import sys; from batch.job import load; load(sys.argv[1], environ={});"
        "assert not [name for name in sys.modules if 'tree_sitter' in name]; assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(JOBS / "openai.toml")], check=True)
