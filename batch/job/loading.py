"""A job file, whole: layers merged, sections checked, paths made absolute, variants made; or every mistake at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batch.job.answer_schemas import put_in, read_schemas
from batch.job.endpoints import Endpoints, preset_settings
from batch.job.filling import resolve_path
from batch.job.judges import Judges
from batch.job.model import InputSection, OutputSection
from batch.job.overrides import apply_override
from batch.job.paths import KeyPath
from batch.job.problems import Places, Problems
from batch.job.prompts import check_templates
from batch.job.racing import race_score
from batch.job.scores import FILE_OPTIONS, make_gates, make_score, make_scores
from batch.job.sections import Sections, read_sections
from batch.job.toml_file import FileLayer, Layer, SetLayer, merged, read_layers
from batch.job.user_providers import layer_of, names_in, read_user_file, sections_in, used_names
from batch.job.variants import make_variants, slugify
from batch.readers.lines import is_encoding
from batch.readers.requests import REQUEST_ID, holds_requests
from batch.readers.where import Condition
from batch.settings import InputSettings, Job, OutputSettings, ProviderSettings, RunSettings, ScoreSettings

_COMPLETION_COLUMNS = (
    "id",
    "row",
    "variant",
    "repeat",
    "completion",
    "tool_calls",
    "reasoning",
    "finish_reason",
    "usage",
    "attempts",
    "latency_s",
    "first_token_s",
    "cost_usd",
    "error",
)


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job that can be run.

    `document` is the TOML behind it as plain JSON values: `extends` merged, `--set` applied, paths absolute and with their variables
    filled in, URLs with their `${VAR}` as written, so that it holds no secret. `source` is the job file's path.
    """

    job: Job
    document: dict[str, Any]
    source: str


def load_file(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> LoadedJob:
    """Load a job file. Raises JobError."""
    layers = read_layers(path, environ)
    layers[-1].document.setdefault("name", path.name.removesuffix(".toml"))
    return _load_over_user(layers, overrides, environ, str(path))


def load_document(document: Mapping[str, Any], overrides: Sequence[str], environ: Mapping[str, str], source: str | None) -> LoadedJob:
    """Load a job from the document of an earlier LoadedJob, or from one made by hand, which has a `source`. Raises JobError."""
    layer = FileLayer(source or "run.json", Path.cwd(), copy.deepcopy(dict(document)), None)
    if source is not None:
        return _load_over_user([layer], overrides, environ, source)
    return _load([layer], merged([layer]), overrides, environ, layer.label, ())


def load_preset(name: str, environ: Mapping[str, str]) -> ProviderSettings:
    """The settings of a preset. Raises JobError."""
    user = read_user_file(environ)
    own = sections_in(user)
    problems = Problems(Places([*layer_of(user, {name}), FileLayer(f"provider {name}", Path.cwd(), {}, None)]))
    settings = preset_settings(name, own, environ, problems)
    problems.raise_found()
    if settings is None:
        raise AssertionError("a provider that cannot be made leaves a problem")
    return settings


def load_score(entry: Mapping[str, Any], environ: Mapping[str, str]) -> ScoreSettings:
    """The settings of one `[[score]]` entry that stands in no job file; paths are relative to the working directory. Raises JobError."""
    document = {"score": [copy.deepcopy(dict(entry))]}
    problems = Problems(Places([FileLayer("the score", Path.cwd(), document, None)]))
    score = make_score(document["score"][0], ("score", 0), environ, problems)
    problems.raise_found()
    if score is None:
        raise AssertionError("a score that cannot be made leaves a problem")
    return score


def _load_over_user(files: Sequence[FileLayer], overrides: Sequence[str], environ: Mapping[str, str], source: str) -> LoadedJob:
    user = read_user_file(environ)
    layers = [*layer_of(user, used_names(merged(list(files)))), *files]
    return _load(layers, merged(layers), overrides, environ, source, names_in(user))


def _load(
    files: Sequence[FileLayer],
    document: dict[str, Any],
    overrides: Sequence[str],
    environ: Mapping[str, str],
    source: str,
    user_names: tuple[str, ...],
) -> LoadedJob:
    applied = [apply_override(text, document) for text in overrides]
    layers: list[Layer] = [*files, *(item for item in applied if isinstance(item, SetLayer))]
    problems = Problems(Places(layers))
    for item in applied:
        if not isinstance(item, SetLayer):
            problems.add_placed(item)
    sections = read_sections(document, problems)
    check_templates(sections, problems)
    input_settings = _with_requests(_input(sections.input, environ, problems), sections, problems)
    sections = replace(sections, stored=input_settings is not None and input_settings.format == "openai-batch")
    output = _output(sections.output, sections.name, environ, problems)
    embedded_files = _embedded_files(sections, environ, problems)
    schemas = read_schemas(sections, environ, problems)
    endpoints = Endpoints(sections.providers, embedded_files, environ, problems, user_names)
    variants = make_variants(sections, schemas, endpoints, problems)
    names = [variant.name for variant in variants]
    scores = make_scores(document, Judges(endpoints, names, sections.run, problems), environ, problems)
    gates = make_gates(document, scores, names, problems)
    race = race_score(sections.run, scores, output, problems)
    problems.raise_found()
    if input_settings is None or output is None or sections.run is None:
        raise AssertionError("a section that cannot be used leaves a problem")
    job = Job(
        name=sections.name,
        input=input_settings,
        variants=variants,
        run=RunSettings(**{**sections.run.model_dump(), "race": race}),
        output=output,
        scores=scores,
        gates=gates,
    )
    put_in(document, schemas)
    return LoadedJob(job, _resolved(document, job, embedded_files), source)


def _input(section: InputSection | None, environ: Mapping[str, str], problems: Problems) -> InputSettings | None:
    if section is None:
        return None
    written = section.path if isinstance(section.path, list) else [section.path]
    places: list[KeyPath] = [("input", "path", index) for index in range(len(written))]
    if isinstance(section.path, str):
        places = [("input", "path")]
    paths = [
        resolve_path(text, problems.places.layer(place).base, environ, place, problems, stores=True)
        for text, place in zip(written, places, strict=True)
    ]
    if section.where is not None:
        try:
            Condition(section.where)
        except ValueError as error:
            problems.add(("input", "where"), str(error))
    if section.encoding is not None and not is_encoding(section.encoding):
        problems.add(("input", "encoding"), f"'{section.encoding}' is no encoding of text", "such as cp1252, latin-1, utf-16, shift_jis")
    known = tuple(path for path in paths if path is not None)
    if len(known) < len(paths):
        return None
    return InputSettings(**{**section.model_dump(exclude={"path"}), "paths": known})


def _with_requests(settings: InputSettings | None, sections: Sections, problems: Problems) -> InputSettings | None:
    """With the format openai-batch, the id that it has; the format is found out where the job has no prompt, which all others need."""
    if settings is None:
        return None
    prompts = [sections.prompt, *(entry.section.prompt for entry in sections.entries)]
    if settings.format == "auto" and not any(prompts) and not problems.touch(("prompt",)) and holds_requests(settings):
        settings = replace(settings, format="openai-batch")
    if settings.format != "openai-batch":
        return settings
    if settings.id not in (None, REQUEST_ID):
        problems.add(("input", "id"), f"must be {REQUEST_ID!r} where the rows are requests", "leave it out")
    return replace(settings, id=REQUEST_ID)


def _output(section: OutputSection | None, name: str, environ: Mapping[str, str], problems: Problems) -> OutputSettings | None:
    if section is None:
        return None
    seen: set[str] = set()
    for index, column in enumerate(section.columns):
        place = ("output", "columns", index)
        if column in _COMPLETION_COLUMNS:
            why = "the id is written anyway: leave it out" if column == "id" else "rename the column in the input, or leave it out"
            problems.add(place, f"'{column}' is a name that promptmill's own columns have", why)
        elif column in seen:
            problems.add(place, f"'{column}' stands twice")
        seen.add(column)
    if section.format == "openai-batch" and section.columns:
        problems.add(("output", "columns"), "does not go with format = 'openai-batch', which has no place for them", "leave it out")
    directory = resolve_path(section.dir or f"runs/{slugify(name)}", Path.cwd(), environ, ("output", "dir"), problems, stores=True)
    return OutputSettings(dir=directory, format=section.format, columns=tuple(section.columns)) if directory else None


def _embedded_files(sections: Sections, environ: Mapping[str, str], problems: Problems) -> dict[str, dict[str, str]]:
    """The files that embedded models are made of, by provider and key, as absolute paths."""
    found: dict[str, dict[str, str]] = {}
    for name, table in sections.providers.items():
        for key in ("model_path", "chat_template"):
            if (text := getattr(table, key, None)) is not None:
                place = ("provider", name, key)
                path = resolve_path(text, problems.places.layer(place).base, environ, place, problems)
                if path is not None:
                    found.setdefault(name, {})[key] = path
    return found


def _resolved(document: dict[str, Any], job: Job, embedded_files: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    paths = list(job.input.paths)
    document["input"]["path"] = paths[0] if len(paths) == 1 else paths
    if job.input.format == "openai-batch":
        document["input"]["format"] = job.input.format
    document.setdefault("output", {})["dir"] = job.output.dir
    for name, paths_by_key in embedded_files.items():
        document["provider"][name].update(paths_by_key)
    for raw, score in zip(document.get("score", []), job.scores, strict=True):
        raw.update({option: value for option, value in score.options.items() if option in FILE_OPTIONS})
    return document
