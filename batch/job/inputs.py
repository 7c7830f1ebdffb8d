"""[input]: where the rows are, and what must not be set together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batch.job.input_model import InputSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading
from batch.job.sections import Sections
from batch.readers.lines import is_encoding
from batch.readers.requests import REQUEST_ID, holds_requests
from batch.readers.where import Condition
from batch.settings.inputs import GIVEN, STEP_ID, InputSettings, StepSettings

_SOURCES = ("path", "job", "run")
_OF_STEPS = ("variant", "explode", "group")
_OF_FILES = ("id", "format", "delimiter", "encoding", "sql")


def read_input(section: InputSection | None, loading: Loading) -> InputSettings | None:
    """Return the settings of [input], with absolute paths; None when a mistake in them is reported."""
    if section is None:
        return None
    _check_together(section, loading)
    # All of them before any is refused, so that each mistake is reported.
    paths = _paths(section, loading)
    step = _step(section, loading)
    if section.where is not None:
        try:
            Condition(section.where)
        except ValueError as error:
            loading.add(("input", "where"), str(error))
    if section.encoding is not None and not is_encoding(section.encoding):
        loading.add(("input", "encoding"), f"'{section.encoding}' is not a text encoding", "such as cp1252, latin-1, utf-16, shift_jis")
    if paths is None or loading.reported(("input",)):
        return None
    settings = section.model_dump(exclude={*_SOURCES, *_OF_STEPS})
    if step is not None:
        return InputSettings(**{**settings, "id": STEP_ID, "format": "auto"}, paths=(), step=step)
    return InputSettings(**settings, paths=paths)


def with_requests(settings: InputSettings | None, sections: Sections, loading: Loading) -> InputSettings | None:
    """Set the id of openai-batch input. A job without a prompt can only be one of stored requests, so its format is detected."""
    if settings is None or settings.step is not None or settings.sql is not None:
        return settings
    prompts = [sections.prompt, *(entry.section.prompt for entry in sections.entries)]
    if settings.format == "auto" and not any(prompts) and not loading.reported(("prompt",)) and _may_hold_requests(settings):
        settings = replace(settings, format="openai-batch")
    if settings.format != "openai-batch":
        return settings
    if settings.id not in (None, REQUEST_ID):
        loading.add(("input", "id"), f"must be {REQUEST_ID!r} when the rows are requests", "remove it")
    return replace(settings, id=REQUEST_ID)


def resolve_input(document: dict[str, Any], settings: InputSettings) -> None:
    """Write the resolved paths into the [input] of a job's document."""
    if settings.step is not None:
        document.update({key: value for key in ("job", "run") if (value := getattr(settings.step, key)) is not None})
        return
    paths = list(settings.paths)
    document["path"] = paths[0] if len(paths) == 1 else paths
    if settings.format == "openai-batch":
        # As detected: a later session must not detect another format from other files.
        document["format"] = settings.format


def _may_hold_requests(settings: InputSettings) -> bool:
    # Rows that are given can be looked at only once, when the run begins.
    return settings.is_made or holds_requests(settings)


def _check_together(section: InputSection, loading: Loading) -> None:
    set_ = section.model_fields_set
    sources = [key for key in _SOURCES if key in set_]
    if not sources and not loading.reported(("input",)):
        loading.add(("input", "path"), "is missing", "a file, a glob, a folder, a list of them; or the job that they come from")
    for other in sources[1:]:
        loading.add(("input", other), f"cannot be used with {sources[0]}", "the rows have one source: keep one of them")
    of_step = bool(sources) and sources[0] != "path"
    for key in _OF_STEPS if not of_step else _OF_FILES:
        if key in set_:
            loading.add(("input", key), *_misplaced(key, of_step=of_step))
    if section.sql is not None and section.format == "openai-batch":
        loading.add(("input", "sql"), "cannot be used with format = 'openai-batch'", "remove one of them")


def _misplaced(key: str, *, of_step: bool) -> tuple[str, str]:
    if not of_step:
        return "is only for rows made of another job's answers", 'name that job: job = "first.toml", in place of path'
    if key == "id":
        return "cannot be used with job or run", "remove it: rows keep the ids that they have there"
    return "is only for files", "remove it"


def _paths(section: InputSection, loading: Loading) -> tuple[str, ...] | None:
    if section.path is None:
        return ()
    if section.path == GIVEN:
        return (GIVEN,)
    written = section.path if isinstance(section.path, list) else [section.path]
    places: list[KeyPath] = [("input", "path", index) for index in range(len(written))]
    if isinstance(section.path, str):
        places = [("input", "path")]
    if GIVEN in written:
        loading.add(places[written.index(GIVEN)], "is stdin, which cannot be read together with files", 'write path = "-" alone')
        return None
    paths = [loading.resolve_path(text, place, stores="inputs") for text, place in zip(written, places, strict=True)]
    return None if None in paths else tuple(path for path in paths if path is not None)


def _step(section: InputSection, loading: Loading) -> StepSettings | None:
    if section.job is None and section.run is None:
        return None
    job = None if section.job is None else loading.resolve_path(section.job, ("input", "job"))
    run = None if section.run is None else loading.resolve_path(section.run, ("input", "run"), stores=True)
    return StepSettings(job=job, run=run, variant=section.variant, explode=section.explode, group=section.group)
