"""Key paths: the address of a value in a job file, ("model", 0, "temperature"), written model[0].temperature."""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: KeyPath) -> str:
    """Write the path as in TOML: model[0].temperature."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{key}" if text else key
    return text


def begins(path: KeyPath, prefix: KeyPath) -> bool:
    """Whether `path` is `prefix` or under it."""
    return path[: len(prefix)] == prefix


def looks_secret(key: str) -> bool:
    """Whether the value of such a key may be a misplaced secret, which must not be shown."""
    return re.search(r"key|token|secret|password|headers|auth", key, re.IGNORECASE) is not None and "tokens" not in key
