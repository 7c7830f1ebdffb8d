"""`${VAR}` and `${VAR:-default}` in URLs and paths; nowhere else, so that a template or a prompt is never changed by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class UnsetVariableError(ValueError):
    """A variable without default that is not set, or set to nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the environment variable {name} is not set")


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its references replaced; as in a shell, a variable that is set to nothing counts as not set.

    Raises:
        UnsetVariableError: for the first variable that has neither a value nor a default.
        ValueError: for "${" that begins no reference.
    """

    def value(match: re.Match[str]) -> str:
        found = environ.get(match["name"]) or match["default"]
        if found is None:
            raise UnsetVariableError(match["name"])
        return found

    if "${" in _REFERENCE.sub("", text):
        raise ValueError("a reference to a variable is written ${NAME} or ${NAME:-default}")
    return _REFERENCE.sub(value, text)
