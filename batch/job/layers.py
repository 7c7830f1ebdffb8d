"""The layers that a job's settings come from: its file, the files that it extends, and `--set`; and their merge."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import JobError, Problem
from batch.job.paths import KeyPath, dotted, looks_secret
from batch.job.syntax import syntax_problem
from batch.providers.variables import substitute

_STEP = re.compile(r"""\s*(?:(?P<bare>[A-Za-z0-9_-]+)|"(?P<double>[^"]*)"|'(?P<single>[^']*)')(?P<indices>(?:\[\d+\])*)\s*(?:\.|$)""")
_EXAMPLE = "write --set KEY=VALUE, such as --set run.concurrency=64 or --set 'model[0].temperature=0.2'"
LARGEST_FILE = 16 * 1024 * 1024
NUL_IN_PATH = "a path cannot contain a NUL character"
# The limits of Linux; those of macOS are no larger.
LONGEST_NAME, LONGEST_PATH = 255, 4096
_MOST_NAMED = 3
_ROWS = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".arrow", ".feather", ".gz", ".zst"})
TOO_DEEP = "is nested too deeply"


@dataclass(frozen=True, slots=True)
class FileLayer:
    """A TOML file. `label` names it in problems; paths in it are relative to `base`; `text` is None for run.json."""

    label: str
    base: Path
    document: dict[str, Any]
    text: str | None


@dataclass(frozen=True, slots=True)
class SetLayer:
    """A `--set`: the value that it put at each of `paths`. Paths in it are relative to the working directory."""

    label: str
    base: Path
    paths: tuple[KeyPath, ...]
    value: Any


Layer = FileLayer | SetLayer


def read_layers(path: Path, environ: Mapping[str, str]) -> list[FileLayer]:
    """Read the job file and all files that it extends, the farthest parent first.

    A parent's `name` is dropped: it would make two jobs share one run directory.

    Raises:
        JobError: when a file is missing or is not TOML, or when they extend each other in a circle.
    """
    if path.suffix.lower() in _ROWS and path.is_file():
        raise JobError([Problem(str(path), "", "is a file of rows, not a job", f"promptmill init {path} makes a first job for it")])
    # The job itself may come by a pipe, as in `run <(make-job)`; a pipe that a file names could block loading for ever.
    layer = _read(path, None, pipes=True)
    layers, seen = [layer], [path.resolve()]
    while (parent := _parent(layer, environ)) is not None:
        if parent.resolve() in seen:
            chain = " → ".join(_label(file) for file in [*seen, parent.resolve()])
            raise _extends_error(layer, f"the files extend each other in a circle: {chain}", None)
        seen.append(parent.resolve())
        layer = _read(parent, layer)
        layers.insert(0, layer)
    for layer in layers:
        # The merged job stands alone, as run.json keeps it.
        layer.document.pop("extends", None)
    for layer in layers[:-1]:
        layer.document.pop("name", None)
    return layers


def read_file(path: Path) -> FileLayer:
    """Read a TOML file that no other file extends. Raises JobError."""
    return _read(path, None)


def read_small_file(path: Path, *, pipes: bool = False) -> bytes:
    """Read a file that a job names: a regular one of at most 16 MiB; with `pipes` a pipe too.

    Raises:
        OSError: it is missing, cannot be read, is a device, a folder or a pipe, or is larger.
    """
    # Looked at before it is opened: opening a pipe that nothing writes blocks.
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or (pipes and stat.S_ISFIFO(kind))):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(errno.EFBIG, "it is larger than 16 MiB", str(path))
    return content


def merged(layers: list[FileLayer]) -> dict[str, Any]:
    """Merge all layers: tables deeply; any other value of a later layer replaces the earlier one."""
    result: dict[str, Any] = {}
    for layer in layers:
        result = _merge(result, layer.document)
    return result


def _merge(old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        below = old if isinstance(old, dict) else {}
        return {**below, **{key: _merge(below.get(key), value) for key, value in new.items()}}
    # A list replaces a list: no rule could tell which [[model]] of the parent is meant.
    return [_merge(None, item) for item in new] if isinstance(new, list) else new


def _read(path: Path, asked_by: FileLayer | None, *, pipes: bool = False) -> FileLayer:
    label = str(path) if asked_by is None else _label(path)
    try:
        text = read_small_file(path, pipes=pipes).decode("utf-8-sig")
    except OSError as error:
        message = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        if asked_by is not None:
            raise _extends_error(asked_by, f"{label}: {message}", _near_files(path, asked_by.label)) from None
        hint = "give the job file in it" if path.is_dir() else _near_files(path)
        if (path / "run.json").is_file():
            message, hint = "is a run directory, not a job file", f"promptmill resume {label} continues it"
        raise JobError([Problem(label, "", message, hint)]) from None
    except UnicodeDecodeError as error:
        raise JobError([Problem(label, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8")]) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise JobError([syntax_problem(label, text, str(error))]) from None
    except ValueError:
        raise JobError([Problem(label, "", "not valid TOML: a number in it has thousands of digits")]) from None
    except RecursionError:
        raise JobError([Problem(label, "", TOO_DEEP)]) from None
    return FileLayer(label, path.parent.absolute(), document, text)


def _parent(layer: FileLayer, environ: Mapping[str, str]) -> Path | None:
    extends = layer.document.get("extends")
    if extends is None:
        return None
    if not isinstance(extends, str):
        raise _extends_error(layer, "must be the path of one other job file", None)
    try:
        return layer.base / expand_user(substitute(extends, environ))
    except ValueError as error:
        raise _extends_error(layer, str(error), None) from None


def expand_user(text: str) -> Path:
    """Return the path that `text` names, with ~ and ~user expanded. Raises ValueError for what cannot be a path here."""
    if "\0" in text:
        raise ValueError(NUL_IN_PATH)
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > LONGEST_PATH or any(len(name) > LONGEST_NAME for name in encoded.split(b"/")):
        raise ValueError(f"a name in a path can have {LONGEST_NAME} bytes, and the path {LONGEST_PATH:,}: this one has more")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home directory of {text.partition('/')[0]}") from None


def _extends_error(layer: FileLayer, message: str, hint: str | None) -> JobError:
    from batch.job.lines import key_lines

    line = key_lines(layer.text or "").get(("extends",), 1)
    return JobError([Problem(f"{layer.label}:{line}", "extends", message, hint)])


def _near_files(path: Path, but: str = "") -> str | None:
    """Say which job file beside `path` was probably meant: one of nearly its name, in other cases too, or else those that are there."""
    import difflib

    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    names = sorted(item.name for item in path.parent.glob("*.toml") if _label(item) != but)
    # Without the ending, which all share.
    known = {name.lower().removesuffix(".toml"): name for name in names}
    near = difflib.get_close_matches(path.name.lower().removesuffix(".toml"), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {path.parent / known[near[0]]}?"
    listed = ", ".join(str(path.parent / name) for name in names[:_MOST_NAMED])
    return f"job files there: {listed}" + (" and more" if len(names) > _MOST_NAMED else "") if names else None


def _label(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def apply_override(text: str, document: dict[str, Any]) -> SetLayer | Problem:
    """Set the value of `text` ("run.concurrency=64") in `document`, in place.

    The value is read as TOML, else taken as text. A key that names a list without an index ("model.temperature") is set in all its
    tables.
    """
    key, equals, source = text.partition("=")
    if not equals:
        return Problem(f"--set {text}", "", "has no value", _EXAMPLE)
    label = f"--set {key}=…" if looks_secret(key) else f"--set {text}"
    path = _parse_key(key)
    if path is None:
        return Problem(label, "", "has no key that can be read", _EXAMPLE)
    # By then the files have been read.
    if path == ("extends",):
        return Problem(label, "extends", "can only be set in the job file")
    value = _parse_value(source.strip())
    try:
        paths = _assign(document, path, value, ())
    except _PathError as error:
        return Problem(label, dotted(path), str(error))
    return SetLayer(label, Path.cwd(), tuple(paths), value)


class _PathError(ValueError):
    pass


def _parse_key(key: str) -> KeyPath | None:
    path: list[str | int] = []
    position = 0
    while position < len(key):
        step = _STEP.match(key, position)
        if step is None:
            return None
        path.append(next(part for part in (step["bare"], step["double"], step["single"]) if part is not None))
        path.extend(int(index) for index in re.findall(r"\d+", step["indices"]))
        position = step.end()
    return tuple(path) if path and not key.rstrip().endswith(".") else None


def _parse_value(source: str) -> Any:
    try:
        table = tomllib.loads(f"value = {source}")
    except (ValueError, RecursionError):
        return source
    return table["value"] if len(table) == 1 else source


def _assign(container: Any, path: KeyPath, value: Any, done: KeyPath) -> list[KeyPath]:
    step, rest = path[0], path[1:]
    if isinstance(step, str) and isinstance(container, list):
        if not container:
            raise _PathError(f"{dotted(done)} is empty")
        return [found for index in range(len(container)) for found in _assign(container, (index, *path), value, done)]
    if isinstance(step, int):
        if not isinstance(container, list):
            raise _PathError(f"{dotted(done)} is not a list")
        if step >= len(container):
            raise _PathError(f"there is no {dotted((*done, step))}; {dotted(done)} has {len(container)}, counted from 0")
    elif not isinstance(container, dict):
        raise _PathError(f"{dotted(done)} is not a table")
    if not rest:
        container[step] = value
        return [(*done, step)]
    if isinstance(step, str) and isinstance(container, dict) and step not in container and isinstance(rest[0], str):
        container[step] = {}
    elif isinstance(container, dict) and step not in container:
        raise _PathError(f"there is no {dotted((*done, step))}")
    return _assign(container[step], rest, value, (*done, step))
