"""Load and run functions in a user's Python files, and find the files that their scores depend on."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from batch.errors import SetupError


def split(function: str) -> tuple[Path, str]:
    """Return the file and the function's name. Raises SetupError for anything but "file.py:name"."""
    file, colon, name = function.rpartition(":")
    if not colon or not name.isidentifier():
        raise SetupError(f'{function!r} names no function of a file; write function = "scorers.py:score"')
    return Path(file), name


class UserFunction:
    """A function of a file, plain or async. Modules beside the file can be imported, also while the function runs.

    Raises:
        SetupError: the file or the function is not there, or the file cannot be run.
    """

    def __init__(self, function: str) -> None:
        file, self.name = split(function)
        if not file.is_file():
            raise SetupError(f"{file}: there is no such file for a python scorer")
        self._folder = _Folder(file.resolve())
        with self._folder.importable():
            self._function = _load(file, self.name)
        self._parameters = _extra_parameters(self._function)
        self._loop: _Loop | None = None

    def __call__(self, *arguments: Any, **extra: Any) -> Any:
        """Call the function with what it has parameters for among `extra`; an awaitable result is awaited."""
        taken = extra if self._parameters is None else {key: extra[key] for key in self._parameters if key in extra}
        with self._folder.importable():
            given = self._function(*arguments, **taken)
            if inspect.isawaitable(given):
                self._loop = self._loop or _Loop()
                given = self._loop.wait(given)
        return given


def _load(file: Path, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"promptmill_scorer_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise SetupError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SetupError(f"{file}: cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise SetupError(f"{file}: has no function {name}")
    return found  # type: ignore[no-any-return]


def _extra_parameters(function: Callable[..., Any]) -> set[str] | None:
    """Return the names that a function accepts as keywords; None when it accepts any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return set()
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return None
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {one.name for one in parameters if one.kind in by_name}


class _Folder:
    """The folder of a file: its modules can be imported inside `importable`, and shadow no others outside of it.

    Two scorers of two folders may each have a module of the same name.
    """

    def __init__(self, file: Path) -> None:
        self._folder = file.parent
        self._own: dict[str, ModuleType] = {}
        names = {path.stem for path in self._folder.glob("*.py")} | {path.parent.name for path in self._folder.glob("*/__init__.py")}
        # A file alone in its folder can import nothing from there.
        self._names = names - _KEPT if names - {file.stem} else frozenset()

    @contextmanager
    def importable(self) -> Iterator[None]:
        if not self._names:  # a look at all loaded modules at each call is not free
            yield
            return
        hidden = {name: module for name, module in sys.modules.items() if self._is_shadowed(name, module)}
        for name in hidden:
            del sys.modules[name]
        before = set(sys.modules)
        sys.modules.update(self._own)
        # First, as Python has the folder of a script.
        sys.path.insert(0, str(self._folder))
        try:
            yield
        finally:
            sys.path.remove(str(self._folder))
            for name in set(sys.modules) - before:
                if self._is_here(sys.modules[name]):
                    self._own[name] = sys.modules.pop(name)
            sys.modules.update(hidden)

    def _is_here(self, module: ModuleType) -> bool:
        path = _path_of(module)
        return path is not None and path.is_relative_to(self._folder) and not module.__name__.startswith("promptmill_scorer_")

    def _is_shadowed(self, name: str, module: ModuleType) -> bool:
        """Whether a loaded module of this name from elsewhere hides one of the folder."""
        return name.partition(".")[0] in self._names and not self._is_here(module)


# A file beside the scorer named like one of these must not hide it: promptmill uses them itself.
_KEPT = sys.stdlib_module_names | {"batch", "__main__"}


def _path_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) else None


class _Loop:
    """An event loop in a thread of its own, kept from call to call, since clients that a function keeps are bound to their loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a coroutine that never ends does not keep the process alive.
        thread = threading.Thread(target=self._loop.run_forever, name="python-scorer", daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._loop, thread)

    def wait(self, awaitable: Any) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def deciding_files(function: str) -> Mapping[str, bytes]:
    """Read a function's file and all files beside it that it imports, directly or not, by path.

    Raises:
        SetupError: the function's file cannot be read.
    """
    file = split(function)[0].resolve()
    try:
        found = {str(file): file.read_bytes()}
    except OSError as error:
        raise SetupError(f"{file}: cannot be read: {error.strerror}") from error
    waiting = [file]
    while waiting:
        source = waiting.pop()
        for path in _imported(found[str(source)], source, file.parent):
            if str(path) not in found:
                found[str(path)] = path.read_bytes()
                waiting.append(path)
    return dict(sorted(found.items()))


def _imported(content: bytes, file: Path, folder: Path) -> Iterator[Path]:
    """Yield the files of `folder` that a source imports."""
    try:
        tree = ast.parse(content)
    # The import itself reports the mistake; a file that cannot be parsed imports nothing.
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = folder if not node.level else file.parents[node.level - 1]
            parts = node.module.split(".") if node.module else []
            yield from _files_of(base, parts)
            for alias in node.names:
                yield from _files_of(base, [*parts, alias.name])


def _files_of(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the files that run when the module with these name parts is imported."""
    place = folder
    for part in parts:
        for path in (place / f"{part}.py", place / part / "__init__.py"):
            if path.is_file():
                yield path
        place /= part
