"""What all steps of loading a job share: where each setting comes from, every mistake found so far, and the environment."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from batch.errors import JobError, Problem
from batch.job.layers import NUL_IN_PATH, FileLayer, Layer, SetLayer, expand_user
from batch.job.paths import KeyPath, begins, dotted
from batch.job.secrets import VARIABLE_PREFIX
from batch.providers.variables import UnsetVariableError, substitute
from batch.storage.urls import is_url, parse


class Places:
    """Where each setting of a merged job comes from. Lines are looked up only for places that are reported."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._lines: dict[int, Mapping[KeyPath, int]] = {}

    def layer(self, path: KeyPath) -> Layer:
        """Return the layer that sets `path`: the last one that has it."""
        return self._layers[self._find(path)[1]]

    @property
    def home(self) -> Path:
        """The folder of the job file itself."""
        return next(layer.base for layer in reversed(self._layers) if not isinstance(layer, SetLayer))

    def describe(self, path: KeyPath) -> tuple[int, int, str]:
        """Return the place of `path`, or of the nearest table around it, as (order, line, text)."""
        known, index = self._find(path)
        layer = self._layers[index]
        if isinstance(layer, SetLayer):
            return len(self._layers) + index, 0, layer.label
        if layer.text is None:
            return 0, 0, layer.label
        line = self._lines_of(index, layer.text).get(known, 1)
        return -index, line, f"{layer.label}:{line}"

    def _find(self, path: KeyPath) -> tuple[KeyPath, int]:
        while path not in self._origins:
            path = path[:-1]
        return path, self._origins[path]

    def _lines_of(self, index: int, text: str) -> Mapping[KeyPath, int]:
        if index not in self._lines:
            from batch.job.lines import key_lines

            self._lines[index] = key_lines(text)
        return self._lines[index]

    @cached_property
    def _origins(self) -> dict[KeyPath, int]:
        """Map each path of the merged job to the index of the layer that set it."""
        origins: dict[KeyPath, int] = {}
        for index, layer in enumerate(self._layers):
            if isinstance(layer, FileLayer):
                _overlay(origins, (), layer.document, index)
            else:
                for path in layer.paths:
                    for depth in range(1, len(path)):
                        origins.setdefault(path[:depth], index)
                    _replace(origins, path, layer.value, index)
        origins[()] = max((index for index, layer in enumerate(self._layers) if isinstance(layer, FileLayer)), default=0)
        return origins


def _overlay(origins: dict[KeyPath, int], path: KeyPath, value: object, index: int) -> None:
    if not isinstance(value, dict):
        _replace(origins, path, value, index)
        return
    origins[path] = index
    for key, item in value.items():
        _overlay(origins, (*path, key), item, index)


def _replace(origins: dict[KeyPath, int], path: KeyPath, value: object, index: int) -> None:
    # The items of the replaced value are gone, and their places with them.
    if path in origins:
        for known in [known for known in origins if begins(known, path)]:
            del origins[known]
    _place(origins, path, value, index)


def _place(origins: dict[KeyPath, int], path: KeyPath, value: object, index: int) -> None:
    origins[path] = index
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        _place(origins, (*path, key), item, index)


class Problems:
    """The mistakes found so far. A mistake that several variants share is kept once."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._found: dict[tuple[KeyPath, str], str | None] = {}
        self._placed: list[Problem] = []

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        """Report a mistake at `path`."""
        # The variants of a sweep share the mistakes of their entry.
        self._found.setdefault((path, message), hint)

    def add_placed(self, problem: Problem) -> None:
        """Report a mistake that already has its place."""
        self._placed.append(problem)

    def reported(self, path: KeyPath) -> bool:
        """Whether a mistake at, under or around `path` is reported already, so that its consequences need no report."""
        return any(begins(known, path) or begins(path, known) for known, _ in self._found)

    def raise_found(self) -> None:
        """Raise JobError with everything found, in the order of the file."""
        rows = [
            (*self.places.describe(path)[:2], Problem(self.places.describe(path)[2], dotted(path), message, hint))
            for (path, message), hint in self._found.items()
        ]
        rows.sort(key=lambda row: row[:2])
        problems = [row[2] for row in rows] + self._placed
        if problems:
            raise JobError(problems)


@dataclass(frozen=True, slots=True)
class Loading:
    """The state of loading one job: the environment, the places of its settings, and the mistakes found so far."""

    environ: Mapping[str, str]
    places: Places
    problems: Problems

    @classmethod
    def of(cls, layers: Sequence[Layer], environ: Mapping[str, str]) -> Loading:
        """Start loading a job that is made of `layers`, the farthest parent first."""
        places = Places(layers)
        return cls(environ, places, Problems(places))

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        """Report a mistake at `path`; `hint` says how to mend it."""
        self.problems.add(path, message, hint)

    def reported(self, path: KeyPath) -> bool:
        """Whether a mistake at, under or around `path` is reported already."""
        return self.problems.reported(path)

    def fill(self, text: str, path: KeyPath, user: str, note: str = "") -> str | None:
        """Replace `${VAR}` in `text`; None, and a mistake at `path`, when a variable is not set.

        The message names `user`, the thing that needs the variable; `note` explains the variable.
        """
        try:
            return substitute(text, self.environ)
        except UnsetVariableError as error:
            hint = note or f"export {error.name}=…"
            if error.name.startswith(VARIABLE_PREFIX):
                hint += "; the job file writes this secret out, and run.json keeps none: promptmill run JOB.toml continues too"
            self.add(path, f"{user} needs the environment variable {error.name}, which is not set", hint)
        except ValueError as error:
            self.add(path, str(error))
        return None

    def resolve_path(self, text: str, path: KeyPath, *, base: Path | None = None, stores: bool | Literal["inputs"] = False) -> str | None:
        """Make `text`, the setting at `path`, an absolute path with its variables replaced; None when that fails.

        `base` is the folder of relative paths, by default that of the file that sets it. With `stores`, `text` may be the address of an
        object store, and for "inputs" of any file system of fsspec.
        """
        path_text = self.fill(text, path, "this path")
        if path_text is None:
            return None
        if "\0" in path_text:
            self.add(path, NUL_IN_PATH)
            return None
        if is_url(path_text):
            return self._address(path_text, path, stores=stores)
        try:
            expanded = expand_user(path_text)
        except ValueError as error:
            self.add(path, str(error))
            return None
        if expanded.is_absolute():
            return os.path.normpath(expanded)
        folder = self.places.layer(path).base if base is None else base
        # A bracket in the name of the job file's folder is no pattern.
        is_pattern = glob.has_magic(path_text) and not (folder / expanded).exists()
        return os.path.normpath(f"{glob.escape(str(folder)) if is_pattern else folder}/{expanded}")

    def _address(self, text: str, path: KeyPath, *, stores: bool | Literal["inputs"]) -> str | None:
        if not stores:
            self.add(path, f"must be a path on this machine, not {text.partition('://')[0]}://…", "copy it here first")
            return None
        try:
            return str(parse(text, inputs=stores == "inputs"))
        except ValueError as error:
            self.add(path, str(error))
            return None


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that `word` probably means; `cutoff` is the least similarity, up to 1 (difflib)."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return near[0] if near else None
