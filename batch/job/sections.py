"""Turns the merged document into checked sections and reports every mistake of shape.

A wrong value is removed and the rest is checked again, so that one mistake does not hide another.
"""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batch.job.batch_model import BatchSection
from batch.job.hints import by_keys, other_name, writing_hint
from batch.job.input_model import InputSection
from batch.job.layers import TOO_DEEP
from batch.job.model import (
    JobFile,
    ModelSection,
    OutputSection,
    PromptSection,
    ProviderSection,
    RunSection,
)
from batch.job.notify_model import NotifySection
from batch.job.parameters_model import Parameters
from batch.job.paths import KeyPath, looks_secret
from batch.job.problems import Loading, nearest
from batch.job.row_columns import divided
from batch.job.schema import expectation, find, section_schema, shown
from batch.job.section import Section

AnySection = TypeVar("AnySection", bound=Section)

# Far below Python's 1,000 frames and orjson's 254 levels.
MAX_DEPTH = 100
_SECTIONS: Mapping[str, type[Section]] = {
    "input": InputSection,
    "prompt": PromptSection,
    "run": RunSection,
    "output": OutputSection,
    "batch": BatchSection,
    "notify": NotifySection,
}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A `[[model]]` entry. `raw` has the values as written, since 0 and 0.0 are sent differently.

    For the parameters of a score, `home` is their place and `named_at` the setting that names the model. `columns` are those of
    parameters that each row has itself.
    """

    index: int
    section: ModelSection
    raw: Mapping[str, Any]
    home: KeyPath | None = None
    named_at: KeyPath | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def id_path(self) -> KeyPath:
        """The setting that names the model."""
        return (*self.path, "id") if self.named_at is None else self.named_at

    @property
    def path(self) -> KeyPath:
        """The entry's place in the job."""
        return ("model", self.index) if self.home is None else self.home


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a job file; None for an unusable one, also among providers.

    `stored`: the rows are whole requests, which need no prompt.
    """

    name: str
    input: InputSection | None
    prompt: PromptSection | None
    providers: Mapping[str, ProviderSection | None]
    entries: tuple[ModelEntry, ...]
    run: RunSection | None
    output: OutputSection | None
    batch: BatchSection | None
    notify: NotifySection | None
    stored: bool = False


def read_sections(document: Mapping[str, Any], loading: Loading) -> Sections:
    """Check the shape of the whole document."""
    for key in document:
        if key not in JobFile.model_fields:
            _unknown(loading, (key,), JobFile)
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        loading.add(("name",), f"must be non-empty text, not {shown(name)}", writing_hint(name))
    if "input" not in document:
        loading.add(("input",), "is missing", 'say where the rows are: [input] and path = "rows.jsonl"')
    tables = _tables(document, "provider", loading)
    providers = {key: validated(ProviderSection, table, ("provider", key), loading) for key, table in tables.items()}
    return Sections(
        name=str(name),
        input=validated(InputSection, document["input"], ("input",), loading) if "input" in document else None,
        prompt=validated(PromptSection, document["prompt"], ("prompt",), loading) if "prompt" in document else None,
        providers=providers,
        entries=tuple(_entries(document, loading)),
        run=validated(RunSection, document.get("run", {}), ("run",), loading),
        output=validated(OutputSection, document.get("output", {}), ("output",), loading),
        batch=validated(BatchSection, document.get("batch", {}), ("batch",), loading),
        notify=validated(NotifySection, document.get("notify", {}), ("notify",), loading),
    )


def validated(section: type[AnySection], data: Any, path: KeyPath, loading: Loading) -> AnySection | None:
    """Return `data` as a section without its wrong values, which are reported; None when nothing usable is left."""
    try:
        return section.model_validate(data)
    except ValidationError as error:
        broken = [_report(section, item, data, path, loading) for item in by_keys(error.errors(include_url=False))]
    # Without the wrong values, so that the checks of several settings still run.
    rest = copy.deepcopy(data)
    for location in broken:
        _remove(rest, location)
    try:
        return section.model_validate(rest)
    except ValidationError:
        return None


def check_json(value: Any, path: KeyPath, loading: Loading) -> None:
    """Report values that JSON lacks: TOML's dates, inf and nan."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_json(item, (*path, key), loading)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_json(item, (*path, index), loading)
    elif isinstance(value, dt.date | dt.time):
        loading.add(path, f"{shown(value)} cannot be sent as JSON", "put it in quotes")
    elif isinstance(value, float) and not math.isfinite(value):
        loading.add(path, f"{shown(value)} cannot be sent as JSON")


def check_size(value: Any, path: KeyPath, loading: Loading) -> None:
    """Report values that cannot be written to run.json and requests: too deep, or numbers beyond 64 bits."""
    if isinstance(value, dict | list):
        if len(path) > MAX_DEPTH:
            loading.add(path[:1], TOO_DEEP, f"at most {MAX_DEPTH} levels")
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            check_size(item, (*path, key), loading)
    # orjson's range: signed and unsigned 64 bits.
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        loading.add(path, f"{shown(value)} is beyond 64 bits", "put it in quotes if it is text")


def _entries(document: Mapping[str, Any], loading: Loading) -> Iterable[ModelEntry]:
    models = document.get("model")
    if models is None or models == []:
        loading.add(("model",), "is missing", 'say which models: [[model]] and id = "openai/gpt-5-mini"')
        return
    if not isinstance(models, list):
        loading.add(("model",), f"must be a list of tables, not {shown(models)}", "begin each model with [[model]], in double brackets")
        return
    for index, raw in enumerate(models):
        path = ("model", index)
        plain, columns = divided(raw)
        section = validated(ModelSection, plain, path, loading)
        if section is None:
            continue
        _check_sweep(section, path, loading)
        yield ModelEntry(index, section, plain, columns=columns)


def _check_sweep(section: ModelSection, path: KeyPath, loading: Loading) -> None:
    schema = section_schema(Parameters)
    for key, values in section.sweep.items():
        place = (*path, "sweep", key)
        if key in section.model_fields_set:
            loading.add(place, f"{key} is set both in the sweep and beside it", "keep one of the two")
        # A sweep may hold any parameter; those with a type are checked one by one.
        for index, value in enumerate(values):
            try:
                Parameters.model_validate({key: value})
            except ValidationError:
                node, _ = find(schema, (key,))
                loading.add((*place, index), f"must be {expectation(node)}, not {shown(value)}", writing_hint(value, node))


def _tables(document: Mapping[str, Any], key: str, loading: Loading) -> dict[str, Any]:
    tables = document.get(key, {})
    if not isinstance(tables, dict):
        loading.add((key,), f"must be tables such as [{key}.house], not {shown(tables)}")
        return {}
    return tables


def _report(section: type[Section], error: ErrorDetails, data: Any, path: KeyPath, loading: Loading) -> KeyPath:
    """Report one of pydantic's errors in plain words; return the place in `data` to remove."""
    location: KeyPath = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        parent, _ = find(section_schema(section), location[:-1])
        _unknown(loading, (*path, *location), section, parent.get("properties", ()))
        return location
    if error["type"] == "missing":
        node, known = find(section_schema(section), location)
        loading.add((*path, *known), "is missing", node.get("description", "").removesuffix(".") or None)
        return known
    node, known = find(section_schema(section), location)
    value = _value_at(data, known)
    # A key that was written into the job file must not be printed.
    is_secret = bool(known) and looks_secret(str(known[-1]))
    seen, hint = ("that", None) if is_secret else (shown(value), writing_hint(value, node))
    if section is PromptSection and not known and isinstance(value, str):
        hint = "write it as a table: [prompt] and user = that text"
    loading.add((*path, *known), f"must be {expectation(node)}, not {seen}", hint)
    return known


def _unknown(loading: Loading, path: KeyPath, section: type[Section], known: Iterable[str] | None = None) -> None:
    key = str(path[-1])
    names = list(section.model_fields if known is None else known)
    homes = [name for name, other in _SECTIONS.items() if key in other.model_fields and (name,) != path[:-1]]
    if key in {"api_key", "key", "token"}:
        hint = "keys stay in the environment: name the variable in api_key_env"
    elif homes:
        hint = "it belongs in " + " or ".join(f"[{home}]" for home in homes)
    elif near := other_name(key, names) or nearest(key, names):
        hint = f"did you mean {near}?"
    else:
        hint = "choose from " + ", ".join(names)
    loading.add(path, "is not a known setting", hint)


def _value_at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _remove(data: Any, path: KeyPath) -> None:
    """Remove the value at `path`; for an item of a list the whole list, since removal would renumber the others."""
    whole = next((path[:depth] for depth, part in enumerate(path) if isinstance(part, int)), path)
    for part in whole[:-1]:
        if not isinstance(data, dict) or part not in data:
            return
        data = data[part]
    if whole and isinstance(data, dict):
        data.pop(whole[-1], None)
