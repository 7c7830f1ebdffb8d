"""The files of rows in a prompt: which columns hold them, and where paths lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from batch.job.paths import KeyPath
from batch.job.problems import Loading
from batch.prompts.parts import PartApi
from batch.settings.files import FileSettings

_COLUMNS = ("images", "audio", "files")
_NAMES = {"files_dir": "folder"}
FILE_KEYS = frozenset({*_COLUMNS, "detail", "max_pixels", "max_file_bytes", "files_dir"})
"""The keys of [prompt] that are about files."""


def resolve_folders(document: dict[str, Any], loading: Loading) -> None:
    """Make each files_dir of the job absolute, in the document itself, so that a run can be resumed from elsewhere."""
    entries = document.get("model")
    owners: list[tuple[KeyPath, Any]] = [((), document)]
    owners += [(("model", at), entry) for at, entry in enumerate(entries)] if isinstance(entries, list) else []
    for path, owner in owners:
        prompt = owner.get("prompt") if isinstance(owner, dict) else None
        if isinstance(prompt, dict) and isinstance(text := prompt.get("files_dir"), str) and text:
            folder = loading.resolve_path(text, (*path, "prompt", "files_dir"), stores=True)
            if folder is not None:
                prompt["files_dir"] = folder


def attached_files(fields: Mapping[str, Any], path: KeyPath, loading: Loading) -> FileSettings:
    """The files that go with the messages of a prompt; mistakes are reported."""
    api = fields.get("api", "chat/completions")
    messages = fields.get("messages")
    columns: dict[str, tuple[str, ...]] = {}
    for key in _COLUMNS:
        value = fields.get(key) or ()
        columns[key] = (value,) if isinstance(value, str) else tuple(value)
        if not columns[key]:
            continue
        if api not in get_args(PartApi):
            loading.add((*path, key), f"cannot be used with api = {api!r}", "files go with the messages of a chat")
        elif isinstance(messages, list) and not any(message.get("role") == "user" for message in messages):
            loading.add((*path, key), "needs a message of the user, which files go with", 'add {role = "user", content = "…"}')
        if len(set(columns[key])) < len(columns[key]):
            loading.add((*path, key), "names a column twice")
    others: dict[str, Any] = {_NAMES.get(key, key): fields[key] for key in FILE_KEYS - set(_COLUMNS) if key in fields}
    return FileSettings(**{**columns, **others})
