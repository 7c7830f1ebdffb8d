"""Filling variables into URLs and paths, and making paths absolute, with a problem noted where that cannot be done."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from pathlib import Path

from batch.job.paths import KeyPath
from batch.job.problems import Problems
from batch.providers.variables import UnsetVariableError, substitute
from batch.storage.urls import is_url, parse


def filled(text: str, environ: Mapping[str, str], path: KeyPath, problems: Problems, what: str, note: str = "") -> str | None:
    """`text` with its variables filled in; None, and a problem at `path`, when one is not set. `what` needs it, `note` says what it is."""
    try:
        return substitute(text, environ)
    except UnsetVariableError as error:
        problems.add(path, f"{what} needs the environment variable {error.name}, which is not set", note or f"export {error.name}=…")
    except ValueError as error:
        problems.add(path, str(error))
    return None


def resolve_path(
    text: str, base: Path, environ: Mapping[str, str], path: KeyPath, problems: Problems, *, stores: bool = False
) -> str | None:
    """`text` as an absolute path, variables filled in; None when that cannot be done. With `stores` it may be an address on one."""
    path_text = filled(text, environ, path, problems, "this path")
    if path_text is None:
        return None
    if is_url(path_text):
        return _address(path_text, path, problems, stores=stores)
    expanded = Path(path_text).expanduser()
    if expanded.is_absolute():
        return os.path.normpath(expanded)
    # The folder of the job file is meant literally, even if its name has a bracket in it.
    is_pattern = glob.has_magic(path_text) and not (base / expanded).exists()
    folder = glob.escape(str(base)) if is_pattern else str(base)
    return os.path.normpath(f"{folder}/{expanded}")


def _address(text: str, path: KeyPath, problems: Problems, *, stores: bool) -> str | None:
    if not stores:
        problems.add(path, f"must be a path on this machine, not {text.partition('://')[0]}://…", "copy it here first")
        return None
    try:
        return str(parse(text))
    except ValueError as error:
        problems.add(path, str(error))
        return None
