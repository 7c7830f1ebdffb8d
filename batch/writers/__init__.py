"""Derived files, one module per format: whole or absent, in the order they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from batch.settings import OutputFormat
from batch.storage import replace_atomically

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file in their order: promptmill's `own`, then those `carried` over from the input.

    `types` are the input's own types where they are known (Parquet).
    """

    own: tuple[str, ...]
    carried: tuple[str, ...] = ()
    types: pa.Schema | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return self.own + self.carried


class LineWriter(Protocol):
    """Writes lines: mappings that have every column of the layout."""

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines; give many at once."""

    def close(self) -> None:
        """Write what is left. Only then the file is whole."""

    def abandon(self) -> None:
        """Give back what the writer holds; the file will be thrown away."""


class Writing(Protocol):
    """What each format's module offers."""

    def open_lines(self, file: Any, layout: Layout, folder: Path) -> LineWriter:
        """A writer to the binary `file`; what it must put by meanwhile goes into an unnamed file in `folder`."""

    def first_difference(self, path: Path, other: Path) -> int | None:
        """The first line (from 1) in which two written files differ; None when they say the same."""


@contextmanager
def open_writer(format: OutputFormat, path: Path, layout: Layout) -> Iterator[LineWriter]:  # noqa: A002 - the setting's name
    """A writer whose file takes the place of `path` when the body ends, and leaves it untouched when the body raises.

    Raises:
        StorageError: the disk refuses.
    """
    with replace_atomically(path) as file:
        writer = writing(format).open_lines(file, layout, path.parent)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


def writing(format: OutputFormat) -> Writing:  # noqa: A002 - the setting's name
    """The module of a format, loaded when it is needed: one of them loads pyarrow."""
    name = "jsonl" if format == "openai-batch" else format
    return cast("Writing", import_module(f"batch.writers.{name}"))
