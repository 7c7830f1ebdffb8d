"""docs/job-file.md: every key of a job file, from the JSON Schema that `promptmill schema` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from batch.job import json_schema
from batch.job.schema import expectation
from batch.providers.parameters import COMMON_PARAMETERS
from batch.providers.presets import PRESETS
from tests.documents.markdown import prose, table

Schema = Mapping[str, Any]

_TOP = """# The job file

Made from the schema by `make docs`; do not edit. `promptmill schema` prints the schema itself.

A job file is TOML. All of it is checked before anything is sent: a key that is not on this page is an error, shown with its line and a
suggestion, and all errors are shown at once. Any key can be set on the command line: `--set run.concurrency=16`,
`--set model.temperature=1` (all models), `--set input.path=other.jsonl`.

- Paths are relative to the job file, those of `--set` to the working directory. They may use `${VAR}` and `${VAR:-default}`.
- `extends = "base.toml"` builds on another job file: tables are merged key by key, `[[model]]`, `[[score]]` and other lists are
  replaced as a whole.
- Keys of providers are never in a job file: `api_key_env` names the environment variable, which `--env-file .env` may set.
- For completion and checks in an editor that knows TOML schemas: `promptmill schema > jobs/job.schema.json`, and
  `#:schema ./job.schema.json` as the first line of the job.

Only `[input]`, a prompt and one `[[model]]` are needed. A whole example is in the [README](../README.md), more are in [jobs/](../jobs)."""

_TITLES = {
    "input": "[input]",
    "prompt": "[prompt]",
    "provider": "[provider.NAME]",
    "model": "[[model]]",
    "run": "[run]",
    "output": "[output]",
    "score": "[[score]]",
    "gate": "[[gate]]",
}
_MORE = {
    "input": "More in [input.md](input.md) and, for `s3://` and `gs://`, [object-stores.md](object-stores.md).",
    "provider": "The presets, and their own request parameters, are in [providers.md](providers.md).",
    "run": "More in [pace.md](pace.md), [resuming.md](resuming.md), [budgets.md](budgets.md) and [processes.md](processes.md).",
    "gate": "More in [ci.md](ci.md).",
}
_SCORED = ("name", "cluster", "slices")


def job_file_page() -> str:
    """The whole page."""
    schema = json_schema()
    parts = [_TOP]
    tables = {name: node for name, node in schema["properties"].items() if name in _TITLES}
    parts += ["## At the top", _keys({"properties": {name: node for name, node in schema["properties"].items() if name not in tables}})]
    for name, node in tables.items():
        parts += [f"## {_TITLES[name]}", *_section(name, node)]
        if name in _MORE:
            parts.append(_MORE[name])
    return "\n\n".join(parts) + "\n"


def _section(name: str, node: Schema) -> Iterator[str]:
    if text := node.get("description"):
        yield prose(text)
    match name:
        case "model":
            yield from _model(node["items"])
        case "score":
            yield from _scores(node["items"]["anyOf"])
        case "provider":
            yield _keys(node["additionalProperties"])
        case _:
            yield _keys(node.get("items", node))


def _model(node: Schema) -> Iterator[str]:
    properties = node["properties"]
    # What only some providers take has no type: promptmill sends it as it is.
    typed = {name for name, item in properties.items() if {"type", "anyOf", "enum"} & set(item)}
    own = {name: properties[name] for name in properties if name in typed and name not in COMMON_PARAMETERS}
    common = {name: properties[name] for name in properties if name in COMMON_PARAMETERS}
    yield _keys({**node, "properties": own})
    yield "### Request parameters"
    yield (
        "They are sent with each request of the model. Any other parameter goes into"
        ' `extra_body`, or is named in `options` of the provider\'s table. Each of them, and `model`, may be `{column = "NAME"}`: then'
        " each row has its own, checked as it is read; a row without a value sends none."
    )
    yield _keys({"properties": common})
    yield "### Request parameters of some providers"
    yield "[providers.md](providers.md) explains them."
    takers = {option: [p.name for p in PRESETS.values() if option in p.options] for option in sorted(set(properties) - typed)}
    yield table(("key", "taken by"), ((f"`{option}`", ", ".join(names)) for option, names in takers.items()))


def _scores(kinds: list[Schema]) -> Iterator[str]:
    yield "`kind` chooses the method. Keys of all kinds:"
    yield _keys({"properties": {name: kinds[0]["properties"][name] for name in _SCORED}})
    for kind in kinds:
        properties = kind["properties"]
        yield f'### kind = "{properties["kind"]["const"]}"'
        yield prose(kind["description"])
        own = {name: node for name, node in properties.items() if name not in (*_SCORED, "kind")}
        if own:
            yield _keys({**kind, "properties": own})


def _keys(node: Schema) -> str:
    """The keys of a table."""
    return table(("key", "what", "default", "meaning"), _rows(node["properties"], node.get("required", ())))


def _rows(properties: Schema, required: Any, under: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, node in properties.items():
        meaning, _, rest = " ".join(node["description"].split()).partition(" [default: ")
        default = f"`{json.dumps(node['default'])}`" if node.get("default") not in (None, [], {}) else prose(rest.removesuffix("]"))
        if name in required:
            default = "needed"
        yield f"`{under}{name}`", prose(expectation(node).replace("non-empty text", "text")), default, prose(meaning)
        if name == "price":
            yield from _rows(node["properties"], node.get("required", ()), f"{under}{name}.")
