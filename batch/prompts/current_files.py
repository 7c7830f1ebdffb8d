"""The files of the row whose request is being made, for the filters of its templates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from batch.prompts.parts import FileData, FileUrl


class FileFilters(Protocol):
    """What filters ask of a row's files. Both raise RowError."""

    def embedded(self, value: Any) -> FileData | FileUrl:
        """One file that is put in whole."""

    def text(self, value: Any) -> str:
        """The text of a file."""


# Not an argument: filters are functions of one environment for all templates, and rows are rendered in several threads.
_CURRENT: ContextVar[FileFilters | None] = ContextVar("batch.prompts.current_files", default=None)


@contextmanager
def files_of(row_files: FileFilters) -> Iterator[None]:
    """Let the filters of templates read the files of this row, in this thread, while the block runs."""
    token = _CURRENT.set(row_files)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_files() -> FileFilters | None:
    """The files of the row whose request is being made; None in other templates."""
    return _CURRENT.get()
