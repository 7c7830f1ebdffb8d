"""The prompt of each variant: the job's own, what a model changes in it, and whether the two make sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batch.job.answer_schemas import AnswerSchemas
from batch.job.model import PromptSection
from batch.job.paths import KeyPath
from batch.job.problems import Problems
from batch.job.sections import ModelEntry, Sections, check_json
from batch.prompts.schemas import is_strict_form
from batch.settings import PromptSettings

_CONTENT = ("user", "messages", "text")


def check_templates(sections: Sections, problems: Problems) -> None:
    """Note every template that cannot be compiled, and messages that are none."""
    prompts: list[tuple[KeyPath, PromptSection | None]] = [(("prompt",), sections.prompt)]
    prompts += [((*entry.path, "prompt"), entry.section.prompt) for entry in sections.entries]
    for path, prompt in prompts:
        if prompt is None:
            continue
        templates = [((*path, key), text) for key in ("system", "user", "text") if (text := getattr(prompt, key)) is not None]
        if isinstance(prompt.messages, list):
            templates += _message_texts(prompt.messages, (*path, "messages"), problems)
        _compile(templates, problems)


def prompt_of(entry: ModelEntry, sections: Sections, schemas: AnswerSchemas, problems: Problems) -> PromptSettings | None:
    """The prompt of one model's variants; None when it was complained of.

    A model that brings a user, messages or text of its own replaces what [prompt] has of these; system stays beside user.
    """
    own = entry.section.prompt
    path: KeyPath = ("prompt",) if own is None else (*entry.path, "prompt")
    if sections.stored:
        if own is not None or sections.prompt is not None:
            problems.add(path, "does not go with format = 'openai-batch'", "the rows are whole requests: leave it out")
        return PromptSettings(stored=True)
    if sections.prompt is None and own is None:
        if not problems.touch(("prompt",)):
            problems.add(
                ("prompt",),
                "is missing",
                'say what is asked: [prompt] and user = "{{ question }}", by the names of your columns;'
                ' or [input] format = "openai-batch" for lines {custom_id, method, url, body}',
            )
        return None
    fields = _fields(sections.prompt, ("prompt",), schemas)
    changes = _fields(own, path, schemas)
    if any(key in changes for key in _CONTENT):
        fields = {key: value for key, value in fields.items() if key not in _CONTENT and (key != "system" or "user" in changes)}
    fields |= changes
    if any(problems.touch((*at, key)) for at in {path, ("prompt",)} for key in ("api", *_CONTENT, "system", "tools", "schema")):
        return None
    return _settings(fields, path, problems)


def _fields(section: PromptSection | None, path: KeyPath, schemas: AnswerSchemas) -> dict[str, Any]:
    if section is None:
        return {}
    fields = section.model_dump(exclude_unset=True, by_alias=True)
    return fields | {"schema": schemas[path]} if path in schemas else fields


def _settings(fields: Mapping[str, Any], path: KeyPath, problems: Problems) -> PromptSettings | None:
    api = fields.get("api", "chat/completions")
    wanted = ("user", "messages") if api == "chat/completions" else ("text",)
    either = " or ".join(wanted)
    given = [key for key in _CONTENT if key in fields]
    for key in given:
        if key not in wanted:
            problems.add((*path, key), f"does not go with api = {api!r}", f"use {either}, or another api")
    fitting = [key for key in given if key in wanted]
    if not given and not problems.touch(path):
        problems.add(path, f"has no {either}", f"api = {api!r} needs it")
    if len(fitting) > 1:
        problems.add((*path, fitting[1]), "stands beside user", "keep one of the two")
    if "system" in fields and given and "user" not in given:
        problems.add((*path, "system"), "goes with user only", "put a system message into messages" if "messages" in fields else None)
    for key in ("tools", "schema"):
        if fields.get(key) and api != "chat/completions":
            problems.add((*path, key), f"does not go with api = {api!r}")
    if problems.touch(path):
        return None
    messages = fields.get("messages")
    # An empty table takes away the schema of the [prompt] that a model builds on.
    schema = fields.get("schema") or None
    strict = fields.get("schema_strict", is_strict_form(schema))
    made = {"messages": tuple(messages) if isinstance(messages, list) else messages, "schema": schema, "schema_strict": strict}
    return PromptSettings(**{**fields, **made})


def _message_texts(messages: Iterable[Mapping[str, Any]], path: KeyPath, problems: Problems) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            problems.add((*path, index), "has no role", 'a message is {role = "user", content = "…"}')
        check_json(message, (*path, index), problems)
        found += _texts(message, (*path, index))
    return found


def _texts(value: Any, path: KeyPath) -> list[tuple[KeyPath, str]]:
    if isinstance(value, str):
        return [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [text for key, item in items for text in _texts(item, (*path, key))]


def _compile(templates: Iterable[tuple[KeyPath, str]], problems: Problems) -> None:
    from batch.prompts import check_template

    for path, source in templates:
        try:
            check_template(source)
        except ValueError as error:
            at, _, message = str(error).partition(": ")
            problems.add(
                path, f"not a template: {message}" if "\n" not in source.strip() else f"not a template: {message} in {at} of the text"
            )
