"""Scorers whose libraries are not part of the basic installation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from batch.errors import SetupError


def library(name: str, scorer: str) -> Any:
    """Import the module `name`, which the extra `eval` installs.

    Raises:
        SetupError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise SetupError(f"the scorer {scorer} needs the package {package}; run: pip install 'promptmill[eval]'") from error
