"""The prompt of each variant: the job's own, a model's changes to it, templates, and the JSON Schemas of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

from batch.job.files import FILE_KEYS, attached_files
from batch.job.layers import TOO_DEEP, read_small_file
from batch.job.model import PromptSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading
from batch.job.schema import shown
from batch.job.sections import ModelEntry, Sections, check_json, check_size
from batch.prompts.column_settings import column_templates, named_columns
from batch.prompts.schemas import is_strict_form
from batch.providers.text_apis import COLUMN_SETTINGS, TEXT_APIS
from batch.records import CHATS, Api
from batch.settings import PromptSettings, Variant

AnswerSchemas = Mapping[KeyPath, dict[str, Any]]
"""The schemas by the path of their prompt."""

_INSERTS = re.compile(r"\{\{|\{%")
_SINGLE_BRACES = re.compile(r"(?<![{$])\{\s*([A-Za-z_]\w*)\s*\}(?!\})")
_CONTENT = ("user", "messages", "text", *COLUMN_SETTINGS)


def check_templates(sections: Sections, loading: Loading) -> None:
    """Report templates that do not compile, and invalid messages."""
    prompts: list[tuple[KeyPath, PromptSection | None]] = [(("prompt",), sections.prompt)]
    prompts += [((*entry.path, "prompt"), entry.section.prompt) for entry in sections.entries]
    for path, prompt in prompts:
        if prompt is None:
            continue
        templates = [((*path, key), text) for key in ("system", "user", "text") if (text := getattr(prompt, key)) is not None]
        templates += [found for key in COLUMN_SETTINGS for found in _texts(getattr(prompt, key), (*path, key))]
        if isinstance(prompt.messages, list):
            templates += _message_texts(prompt.messages, (*path, "messages"), loading)
        _compile(templates, loading)


def prompt_of(entry: ModelEntry, sections: Sections, schemas: AnswerSchemas, loading: Loading) -> PromptSettings | None:
    """Return the prompt of one model's variants; None when a mistake in it is reported.

    A model's own user, messages or text replaces those of [prompt]; the job's system message stays if the model sets user.
    """
    own = entry.section.prompt
    path: KeyPath = ("prompt",) if own is None else (*entry.path, "prompt")
    if sections.stored:
        if own is not None or sections.prompt is not None:
            loading.add(path, "cannot be used with format = 'openai-batch'", "the rows are whole requests: remove it")
        return PromptSettings(stored=True)
    if sections.prompt is None and own is None:
        if not loading.reported(("prompt",)):
            loading.add(
                ("prompt",),
                "is missing",
                'write the prompt: [prompt] and user = "{{ question }}", by the names of your columns;'
                ' or [input] format = "openai-batch" for lines {custom_id, method, url, body}',
            )
        return None
    fields = _fields(sections.prompt, ("prompt",), schemas)
    changes = _fields(own, path, schemas)
    # Content of two kinds would be two prompts.
    if any(key in changes for key in _CONTENT):
        beside = _beside(changes)
        fields = {key: value for key, value in fields.items() if key not in (*_CONTENT, "function") or key in beside}
        if "user" not in changes:
            fields.pop("system", None)
    fields |= changes
    if any(loading.reported((*at, key)) for at in {path, ("prompt",)} for key in ("api", *_CONTENT, "system", "tools", "schema")):
        return None
    return _settings(fields, path, loading)


def _beside(changes: Mapping[str, Any]) -> set[str]:
    """Return the texts that go with those of a model's own prompt: of an API that takes several."""
    of_apis = [{member.setting for member in members if member.columns} for members in TEXT_APIS.values()]
    return {setting for settings in of_apis if settings & changes.keys() for setting in settings}


def _fields(section: PromptSection | None, path: KeyPath, schemas: AnswerSchemas) -> dict[str, Any]:
    if section is None:
        return {}
    fields = section.model_dump(exclude_unset=True, by_alias=True)
    return fields | {"schema": schemas[path]} if path in schemas else fields


def _settings(fields: Mapping[str, Any], path: KeyPath, loading: Loading) -> PromptSettings | None:
    api = fields.get("api", "chat/completions")
    given = [key for key in _CONTENT if key in fields]
    _check_content(given, api, path, loading)
    if "system" in fields and given and "user" not in given:
        loading.add((*path, "system"), "needs user", "put a system message into messages" if "messages" in fields else None)
    for key in ("tools", "schema"):
        if fields.get(key) and api not in CHATS:
            loading.add((*path, key), f"cannot be used with api = {api!r}")
    if fields.get("texts_per_request", 1) > 1 and api != "embeddings":
        loading.add((*path, "texts_per_request"), f"cannot be used with api = {api!r}", "only embeddings take several texts in one request")
    if loading.reported(path):
        return None
    messages = fields.get("messages")
    _check_braces(fields, path, loading)
    attached = attached_files(fields, path, loading)
    if loading.reported(path):
        return None
    fields = {key: value for key, value in fields.items() if key not in FILE_KEYS}
    # An empty table takes away the schema of the [prompt] that a model builds on.
    schema = fields.get("schema") or None
    strict = fields.get("schema_strict", is_strict_form(schema))
    made: dict[str, Any] = {
        "messages": tuple(messages) if isinstance(messages, list) else messages,
        "schema": schema,
        "schema_strict": strict,
        **{key: tuple(fields[key]) for key in COLUMN_SETTINGS if isinstance(fields.get(key), list)},
    }
    made["attached"] = attached
    return PromptSettings(**{**fields, **made})


def _check_content(given: Sequence[str], api: Api, path: KeyPath, loading: Loading) -> None:
    """Report texts that the API does not take, and those that it lacks."""
    is_chat = api in CHATS
    wanted = ("user", "messages") if is_chat else tuple(member.setting for member in TEXT_APIS[api])
    named = (" or " if is_chat else " and ").join(wanted)
    for key in given:
        if key not in wanted:
            loading.add((*path, key), f"cannot be used with api = {api!r}", f"use {named}, or another api")
    fitting = [key for key in given if key in wanted]
    missing = [] if is_chat and fitting else [key for key in wanted if key not in given]
    # A text of another API is reported already.
    if missing and len(fitting) == len(given) and not loading.reported(path):
        loading.add(path, f"has no {named if is_chat else ' and no '.join(missing)}", f"api = {api!r} needs it")
    if is_chat and len(fitting) > 1:
        loading.add((*path, fitting[1]), "cannot be combined with user", "keep one of the two")


def constant_prompts(variants: Iterable[Variant]) -> tuple[str, ...]:
    """Warn of prompts that use no column: every row sends the same request."""
    return tuple(
        f"{variant.name}: the prompt uses no column of the input, so all rows send the same request; columns are written {{{{ column }}}}"
        for variant in variants
        if _is_constant(variant.prompt)
    )


def _is_constant(prompt: PromptSettings) -> bool:
    if prompt.stored or prompt.tools is not None or prompt.attached.columns or isinstance(prompt.messages, str):
        return False
    if named_columns(prompt):
        return False
    texts = [text for text in (prompt.system, prompt.user, prompt.text) if text is not None]
    texts += [text for _, text in column_templates(prompt)]
    texts += [text for _, text in _texts(list(prompt.messages or ()), ())]
    return not any(_INSERTS.search(text) for text in texts)


def _check_braces(fields: Mapping[str, Any], path: KeyPath, loading: Loading) -> None:
    """Report `{column}` in a prompt that inserts nothing: single braces, as of Python's format, would be sent as they are."""
    messages = fields.get("messages")
    if isinstance(messages, str):
        return
    texts = [(key, fields[key]) for key in ("system", "user", "text") if fields.get(key)]
    texts += [("messages", text) for _, text in _texts(messages, ())]
    texts += [(key, text) for key in COLUMN_SETTINGS for _, text in _texts(fields.get(key), ())]
    if not any(_INSERTS.search(text) for _, text in texts):
        for key, text in texts:
            check_single_braces(text, (*path, key), loading)


def check_single_braces(text: str, path: KeyPath, loading: Loading) -> None:
    """Report the first `{name}` of a text without any `{{ name }}`."""
    found = _SINGLE_BRACES.search(text)
    if found is not None and not _INSERTS.search(text):
        loading.add(path, f"{found[0]} in single braces is sent as it is", f"write {{{{ {found[1]} }}}} to insert the column")


def foreign_references(schema: Any) -> list[str]:
    """Return the references of a JSON Schema to other documents, by $ref, $dynamicRef or $recursiveRef (JSON Schema 2020-12, 8.2.3)."""
    bases: set[str] = {""}
    references: list[tuple[str, str]] = []
    waiting: list[tuple[Any, str]] = [(schema, "")]
    while waiting:
        node, base = waiting.pop()
        if isinstance(node, dict):
            if isinstance(identity := node.get("$id"), str):
                base = urldefrag(urljoin(base, identity)).url
                bases.add(base)
            named = [node.get(key) for key in ("$ref", "$dynamicRef", "$recursiveRef")]
            references += [(urldefrag(urljoin(base, text)).url, text) for text in named if isinstance(text, str)]
            waiting += [(item, base) for item in node.values()]
        elif isinstance(node, list):
            waiting += [(item, base) for item in node]
    # The drafts' own schemas come with the validator.
    own = ("https://json-schema.org/", "http://json-schema.org/")
    return [reference for url, reference in references if url not in bases and not url.startswith(own)]


def _message_texts(messages: Iterable[Mapping[str, Any]], path: KeyPath, loading: Loading) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            loading.add((*path, index), "has no role", 'a message is {role = "user", content = "…"}')
        check_json(message, (*path, index), loading)
        found += _texts(message, (*path, index))
    return found


def _texts(value: Any, path: KeyPath) -> list[tuple[KeyPath, str]]:
    if isinstance(value, str):
        return [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [text for key, item in items for text in _texts(item, (*path, key))]


def _compile(templates: Iterable[tuple[KeyPath, str]], loading: Loading) -> None:
    from batch.prompts import check_template

    for path, source in templates:
        try:
            check_template(source)
        except ValueError as error:
            at, _, message = str(error).partition(": ")
            loading.add(
                path, f"not a template: {message}" if "\n" not in source.strip() else f"not a template: {message} in {at} of the text"
            )


def read_schemas(sections: Sections, loading: Loading) -> dict[KeyPath, dict[str, Any]]:
    """Read the answer schema of each prompt that has one; an unusable schema is reported and skipped."""
    prompts: list[tuple[KeyPath, PromptSection | None]] = [(("prompt",), sections.prompt)]
    prompts += [((*entry.path, "prompt"), entry.section.prompt) for entry in sections.entries]
    found: dict[KeyPath, dict[str, Any]] = {}
    for path, prompt in prompts:
        if prompt is None or prompt.schema_ is None:
            continue
        place = (*path, "schema")
        schema = prompt.schema_ if isinstance(prompt.schema_, dict) else _read_schema(prompt.schema_, place, loading)
        if schema is not None and _check_schema(schema, place, loading):
            found[path] = schema
    return found


def embed_schemas(document: dict[str, Any], schemas: AnswerSchemas) -> None:
    """Write the schemas into the job's document, so that a run can be resumed without their files."""
    for path, schema in schemas.items():
        table: Any = document
        for part in path:
            table = table[part]
        table["schema"] = schema


def _read_schema(text: str, place: KeyPath, loading: Loading) -> dict[str, Any] | None:
    path = loading.resolve_path(text, place)
    if path is None:
        return None
    try:
        schema = json.loads(read_small_file(Path(path)))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        loading.add(place, f"there is no file {path}" if missing else f"{path} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        loading.add(place, f"{path} is not JSON: {error}")
    else:
        if isinstance(schema, dict):
            return schema
        loading.add(place, f"{path} is not a JSON Schema", "a schema is a JSON object")
    return None


def _check_schema(schema: dict[str, Any], place: KeyPath, loading: Loading) -> bool:
    from batch.prompts import AnswerSchema

    if ("schema" in schema and "type" not in schema) or "json_schema" in schema:
        loading.add(place, "is a whole response_format, not the schema alone", 'keep only the value of "schema"')
        return False
    check_size(schema, place, loading)
    if loading.reported(place):
        return False
    check_json(schema, place, loading)
    for reference in foreign_references(schema):
        loading.add(place, f"refers to {shown(reference)}, another document, which is never fetched", "put it into $defs")
    if loading.reported(place):
        return False
    try:
        AnswerSchema(schema)
    except RecursionError:
        loading.add(place, TOO_DEEP)
        return False
    except (ValueError, OverflowError) as error:
        loading.add(place, f"is not a valid JSON Schema: {error}")
        return False
    return True
