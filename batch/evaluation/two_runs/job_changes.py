"""Find the changes in the job between two runs: its settings one by one, and the input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN = 60
# Where results are put, and how fast rows are sent, change no answer.
_IGNORED = frozenset({"output", "name", "extends"})
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class JobChange:
    """A setting that differs: its key, and both values as short texts; "not set" where a side has none."""

    key: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """The change for people."""
        return f"{self.key}: {self.before} → {self.after}"


def job_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[JobChange, ...]:
    """Return the settings in which two job documents differ, in the order of the newer one's keys."""
    old, new = dict(_settings(before)), dict(_settings(after))
    changed = [key for key in (*new, *(key for key in old if key not in new)) if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    return tuple(JobChange(key, *_shown(old.get(key, _ABSENT), new.get(key, _ABSENT))) for key in changed)


def _settings(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key not in _IGNORED:
            yield from _flat(key, value)


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for at, item in enumerate(value):
            yield from _flat(f"{key}[{item.get('name') or item.get('id') or item.get('kind') or at}]", item)
    else:
        yield key, value


def _shown(before: Any, after: Any) -> tuple[str, str]:
    """Format both values; long texts begin a little before their first difference."""
    if isinstance(before, str) and isinstance(after, str):
        same = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), min(len(before), len(after)))
        start = max(0, same - _SHOWN // 3) if max(len(before), len(after)) > _SHOWN else 0
        return _cut(before, start), _cut(after, start)
    return tuple("not set" if value is _ABSENT else _cut_json(value) for value in (before, after))  # type: ignore[return-value]


def _cut_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _cut(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN]
    return f"{'…' if start else ''}{json.dumps(shown, ensure_ascii=False)}{'…' if start + _SHOWN < len(text) else ''}"
