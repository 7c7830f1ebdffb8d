"""Describe in words what differs between two descriptions of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Prompts and schemas are long: that they changed is enough.
LONGEST_SHOWN = 40
_ABSENT = object()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return each difference as "temperature 0 → 0.7"; long values only as "user changed"; keys nested in tables are dotted."""
    return list(_differences(old, new, prefix))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if before == after:
            continue
        name = f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, f"{name}.")
        elif len(_shown(before)) > LONGEST_SHOWN or len(_shown(after)) > LONGEST_SHOWN:
            yield f"{name} changed"
        else:
            yield f"{name} {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    return "none" if value is _ABSENT or value is None else str(value)
