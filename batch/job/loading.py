"""Loads a whole job file: merges layers, checks sections, resolves paths, builds variants; reports every mistake at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batch.errors import JobError, Problem
from batch.job.batch_model import BatchSection, batch_settings
from batch.job.endpoints import Endpoints, preset_settings
from batch.job.files import resolve_folders
from batch.job.inputs import read_input, resolve_input, with_requests
from batch.job.judge_panels import with_entries
from batch.job.judges import Judges
from batch.job.layers import TOO_DEEP, FileLayer, Layer, SetLayer, apply_override, merged, read_layers
from batch.job.model import OutputSection
from batch.job.notify_model import NotifySection, notify_settings
from batch.job.problems import Loading, Places
from batch.job.prompts import check_templates, constant_prompts, embed_schemas, read_schemas
from batch.job.scores import FILE_OPTIONS, make_gates, make_score, make_scores, race_score
from batch.job.sections import Sections, check_size, read_sections
from batch.job.user_providers import layer_of, names_in, read_user_file, sections_in, used_names
from batch.job.variants import make_variants, slugify
from batch.records import SCORING
from batch.settings import Job, OutputSettings, ProviderSettings, RunSettings, ScoreSettings, Variant
from batch.settings.tiers import flex_timeouts
from batch.writers.columns import OWN_COLUMNS, SCORES, parse_carried


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job that can be run.

    `document` is the TOML behind it as plain JSON values: `extends` merged, `--set` applied, paths absolute and with their variables
    filled in, URLs with their `${VAR}` as written, so that it holds no secret. `source` is the job file's path. `warnings` say what may be
    a mistake. `places` finds the lines of settings for mistakes that show later. `origin` is what made rows were made of (InputRecord).
    `former_dir` is where earlier versions had the run directory, if that is elsewhere.
    """

    job: Job
    document: dict[str, Any]
    source: str
    warnings: tuple[str, ...] = ()
    places: Places | None = field(default=None, compare=False, repr=False)
    origin: Mapping[str, Any] | None = None
    former_dir: str | None = None


def load_file(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> LoadedJob:
    """Load a job file. Raises JobError."""
    with _shallow(str(path)):
        layers = read_layers(path, environ)
        layers[-1].document.setdefault("name", path.name.removesuffix(".toml"))
        return _load_over_user(layers, overrides, environ, str(path))


def load_document(document: Mapping[str, Any], overrides: Sequence[str], environ: Mapping[str, str], source: str | None) -> LoadedJob:
    """Load a job from the document of an earlier LoadedJob, or from one made by hand, which has a `source`. Raises JobError."""
    label = source or "run.json"
    with _shallow(label):
        # A copy: the caller's tables must not change with --set.
        layer = FileLayer(label, Path.cwd(), copy.deepcopy(dict(document)), None)
        if source is not None:
            return _load_over_user([layer], overrides, environ, source)
        return _load([layer], merged([layer]), overrides, environ, layer.label, ())


def load_preset(name: str, environ: Mapping[str, str]) -> ProviderSettings:
    """Return the settings of a preset. Raises JobError."""
    user = read_user_file(environ)
    own = sections_in(user)
    loading = Loading.of([*layer_of(user, {name}), FileLayer(f"provider {name}", Path.cwd(), {}, None)], environ)
    settings = preset_settings(name, own, loading)
    loading.problems.raise_found()
    if settings is None:
        raise AssertionError("an unusable provider is reported")
    return settings


def load_score(entry: Mapping[str, Any], environ: Mapping[str, str]) -> ScoreSettings:
    """Return the settings of one `[[score]]` entry outside a job file; paths are relative to the working directory. Raises JobError."""
    document = {"score": [copy.deepcopy(dict(entry))]}
    loading = Loading.of([FileLayer("the score", Path.cwd(), document, None)], environ)
    score = make_score(document["score"][0], ("score", 0), loading)
    loading.problems.raise_found()
    if score is None:
        raise AssertionError("an unusable score is reported")
    return score


def _load_over_user(files: Sequence[FileLayer], overrides: Sequence[str], environ: Mapping[str, str], source: str) -> LoadedJob:
    user = read_user_file(environ)
    layers = [*layer_of(user, used_names(merged(list(files)))), *files]
    return _load(layers, merged(layers), overrides, environ, source, names_in(user))


def _with_overrides(files: Sequence[FileLayer], document: dict[str, Any], overrides: Sequence[str], environ: Mapping[str, str]) -> Loading:
    """Apply `--set` to the document, and check the size of its values. Raises JobError."""
    applied = [apply_override(text, document) for text in overrides]
    layers: list[Layer] = [*files, *(item for item in applied if isinstance(item, SetLayer))]
    loading = Loading.of(layers, environ)
    for item in applied:
        if not isinstance(item, SetLayer):
            loading.problems.add_placed(item)
    # Before anything walks the values: those beyond the bounds would overflow the stack.
    for key, value in document.items():
        check_size(value, (key,), loading)
    if loading.reported(()):
        loading.problems.raise_found()
    return loading


def _load(
    files: Sequence[FileLayer],
    document: dict[str, Any],
    overrides: Sequence[str],
    environ: Mapping[str, str],
    source: str,
    user_names: tuple[str, ...],
) -> LoadedJob:
    loading = _with_overrides(files, document, overrides, environ)
    resolve_folders(document, loading)
    sections = read_sections(document, loading)
    check_templates(sections, loading)
    input_settings = with_requests(read_input(sections.input, loading), sections, loading)
    sections = replace(sections, stored=input_settings is not None and input_settings.format == "openai-batch")
    output = _output(sections.output, sections.name, loading)
    embedded_files = _embedded_files(sections, loading)
    schemas = read_schemas(sections, loading)
    endpoints = Endpoints(sections.providers, embedded_files, loading, user_names)
    variants = make_variants(sections, schemas, endpoints, loading)
    _check_scores_column(variants, output, loading)
    names = [variant.name for variant in variants]
    scores = make_scores(document, Judges(endpoints, names, sections.run, loading), loading)
    gates = make_gates(document, scores, names, loading)
    # After the scores: only those that are usable can decide a race.
    race = race_score(sections.run, scores, output, loading)
    loading.problems.raise_found()
    if input_settings is None or output is None or sections.run is None or sections.batch is None:
        raise AssertionError("an unusable section is reported")
    # What the user has set stays.
    longer = {name: value for name, value in flex_timeouts(variants).items() if name not in sections.run.model_fields_set}
    settings = RunSettings(**{**sections.run.model_dump(), **longer, "race": race})
    job = _job(sections, document, input=input_settings, variants=variants, run=settings, output=output, scores=scores, gates=gates)
    embed_schemas(document, schemas)
    former, resolved = _former_dir(sections, output, loading), _resolved(document, job, embedded_files)
    return LoadedJob(job, resolved, source, constant_prompts(variants), loading.places, former_dir=former)


def _job(sections: Sections, document: dict[str, Any], **settings: Any) -> Job:
    """Make the job of its checked settings, with those of its small tables."""
    batch, notify = sections.batch or BatchSection(), sections.notify or NotifySection()
    return Job(name=sections.name, batch=batch_settings(batch), notify=notify_settings(notify, document), **settings)


def _former_dir(sections: Sections, output: OutputSettings, loading: Loading) -> str | None:
    """Return the directory that is relative to the working directory, as it once was, where that is another one."""
    section = sections.output
    written = (section.dir if section is not None else None) or f"runs/{slugify(sections.name)}"
    former = loading.resolve_path(written, ("output", "dir"), base=Path.cwd(), stores=True)
    return None if former == output.dir else former


@contextmanager
def _shallow(label: str) -> Iterator[None]:
    """Report a document that is nested beyond Python's stack, or has half a character, as a mistake in it."""
    try:
        yield
    except RecursionError:
        raise JobError([Problem(label, "", TOO_DEEP)]) from None
    except UnicodeEncodeError as error:
        # Neither TOML nor JSON that we wrote can have it: the document is damaged, or was made by hand.
        half = error.object[error.start : error.end].encode("ascii", "backslashreplace").decode()
        raise JobError([Problem(label, "", f"a text in it has half a character ({half}, a lone surrogate)")]) from None


def _check_scores_column(variants: Sequence[Variant], output: OutputSettings | None, loading: Loading) -> None:
    """Report a carried-over column with the name of one that only some jobs have."""
    for index, (source, column) in enumerate(() if output is None else output.carried):
        if column == SCORES and any(variant.prompt.api in SCORING for variant in variants):
            hint = f'use another name: "{source} as my_{column}"'
            loading.add(("output", "columns", index), f"'{column}' is the name of a column that {SCORES} of the endpoint have", hint)


def _output(section: OutputSection | None, name: str, loading: Loading) -> OutputSettings | None:
    if section is None:
        return None
    carried = [parse_carried(text) for text in section.columns]
    seen: set[str] = set()
    for index, (source, column) in enumerate(carried):
        place = ("output", "columns", index)
        if column in OWN_COLUMNS:
            loading.add(place, f"'{column}' is the name of one of promptmill's own columns", f'use another name: "{source} as my_{column}"')
        elif column in seen:
            loading.add(place, f"duplicate '{column}'")
        seen.add(column)
    if section.format == "openai-batch" and section.columns:
        loading.add(("output", "columns"), "cannot be used with format = 'openai-batch', which has no place for them", "remove it")
    if section.rows_per_part is not None and section.parts != "auto":
        loading.add(("output", "rows_per_part"), "cannot be used with parts, which decides it", "remove one of them")
    elif section.format == "openai-batch" and (section.rows_per_part is not None or section.parts not in ("auto", 1)):
        loading.add(("output", "parts"), "cannot be used with format = 'openai-batch', which has one file a model", "remove it")
    # The default lies beside the job file, wherever the command is given.
    base = loading.places.home if section.dir is None else None
    directory = loading.resolve_path(section.dir or f"runs/{slugify(name)}", ("output", "dir"), base=base, stores=True)
    if directory is None:
        return None
    columns, names = tuple(source for source, _ in carried), tuple(name for _, name in carried)
    return OutputSettings(
        dir=directory,
        format=section.format,
        columns=columns,
        names=() if names == columns else names,
        csv_guard=section.csv_guard,
        parts=section.parts,
        rows_per_part=section.rows_per_part,
    )


def _embedded_files(sections: Sections, loading: Loading) -> dict[str, dict[str, str]]:
    """Return the files of embedded models as absolute paths, by provider and key."""
    found: dict[str, dict[str, str]] = {}
    for name, table in sections.providers.items():
        for key in ("model_path", "chat_template"):
            if (text := getattr(table, key, None)) is not None:
                place = ("provider", name, key)
                path = loading.resolve_path(text, place)
                if path is not None:
                    found.setdefault(name, {})[key] = path
    return found


def _resolved(document: dict[str, Any], job: Job, embedded_files: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    resolve_input(document["input"], job.input)
    document.setdefault("output", {})["dir"] = job.output.dir
    for name, paths_by_key in embedded_files.items():
        document["provider"][name].update(paths_by_key)
    for raw, score in with_entries(document, job.scores):
        raw.update({option: value for option, value in score.options.items() if option in FILE_OPTIONS})
    for raw, gate in zip(document.get("gate", []), job.gates, strict=True):
        raw.update({"baseline": gate.baseline} if gate.baseline is not None else {})
    return document
