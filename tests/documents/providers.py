"""docs/providers.md: the presets as `batch/providers/presets.py` has them, and what is to know of each beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from batch.cli.providers import SCHEMA_HELP
from batch.providers.presets import PRESETS, Preset
from tests.documents.markdown import prose, table

_NOTES = Path(__file__).with_name("providers.notes.md")
_OTHER = "other"


def providers_page() -> str:
    """The whole page: the introduction, a section for each preset, and endpoints that no preset covers."""
    notes = _read_notes()
    parts = [notes[""], _overview()]
    for preset in PRESETS.values():
        parts += _section(preset, notes.get(preset.name, ""))
    parts.append(notes[_OTHER])
    return "\n\n".join(parts) + "\n"


def _read_notes() -> dict[str, str]:
    """The hand-written parts, by preset. Raises ValueError for one that belongs to no preset."""
    pieces = re.split(r"^<!-- (\S+) -->\n", _NOTES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    notes = {"": pieces[0].strip(), **{name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}}
    if unknown := set(notes) - set(PRESETS) - {"", _OTHER}:
        raise ValueError(f"notes on what is no preset: {', '.join(sorted(unknown))}")
    return notes


def _overview() -> str:
    rows = ((f"[`{p.name}`](#{p.name})", p.title, f"`{p.api_key_env}`" if p.api_key_env else "none", _url(p)) for p in PRESETS.values())
    return table(("preset", "what", "variable with the key", "base URL"), rows)


def _url(preset: Preset) -> str:
    return f"`{preset.base_url}`" if preset.base_url else "a server of its own, on this machine"


def _section(preset: Preset, note: str) -> Iterator[str]:
    yield f"## {preset.name}"
    yield table(("", prose(preset.title)), _facts(preset))
    if preset.note:
        yield prose(preset.note)
    if note:
        yield note
    if preset.options:
        listed = table(("parameter", "meaning"), ((f"`{name}`", prose(line)) for name, line in preset.options.items()))
        yield f"<details><summary>Request parameters beside the common ones</summary>\n\n{listed}\n\n</details>"


def _facts(preset: Preset) -> Iterator[tuple[str, str]]:
    yield "base URL", _url(preset)
    how = {"bearer": "as `Authorization: Bearer …`", "api-key": "as the header `api-key`", "none": ""}[preset.auth]
    yield "key", f"`{preset.api_key_env}`, sent {how}" if preset.api_key_env else "none; name one with `api_key_env` where there is one"
    yield "a model", f'`id = "{preset.name}/MODEL"`'
    yield "`prompt.schema`", prose(SCHEMA_HELP[preset.json_schema])
    for ours, theirs in preset.renames.items():
        yield "sent by another name", f"`{ours}` as `{theirs}`"
    for kind, pairs in (("header", preset.headers), ("query", preset.query)):
        for name, value in pairs.items():
            yield kind, f"`{name}: {value}`"
    if not preset.stream_usage:
        yield "`stream_options`", "not sent"
