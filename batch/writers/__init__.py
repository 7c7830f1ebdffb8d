"""Write derived files, one module per format: each file is whole or absent, lines in the order given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from batch.errors import StorageError
from batch.settings import OutputFormat
from batch.storage import named, replace_atomically

if TYPE_CHECKING:
    import pyarrow as pa


class UnfitColumnError(Exception):
    """A column has a value that its type cannot hold, or one that did not read back; as JSON text (Layout.as_json) it can be written."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"the column {name!r}: {reason}")


class UnfitVectorsError(UnfitColumnError):
    """The vectors of a column have another size than the layout has; `size` is what it can be, None where they have several."""

    def __init__(self, name: str, size: int | None) -> None:
        self.size = size
        super().__init__(name, "its vectors have several sizes" if size is None else f"its vectors have {size:,} numbers")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file in order: promptmill's `own`, then those `carried` over from the input.

    `types` are the input's column types, None where the input has none (JSONL, CSV). In CSV the columns in `unguarded` are written
    without a guard against formulas, or all where `csv_guard` is False.
    `as_json` are columns that Parquet stores as JSON text (`embedding`: as a list of vectors). `vector_size` is how many numbers each
    vector of `embedding` has: 0 while that is not known, None where they have several sizes.
    """

    own: tuple[str, ...]
    carried: tuple[str, ...] = ()
    types: pa.Schema | None = None
    unguarded: frozenset[str] = frozenset(("id",))
    csv_guard: bool = True
    as_json: frozenset[str] = frozenset()
    vector_size: int | None = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """All column names."""
        return self.own + self.carried


class LineWriter(Protocol):
    """Writes lines; each line is a mapping with every column of the layout."""

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines; faster with many at once."""

    def close(self) -> None:
        """Write what is buffered; the file is whole only after this call."""

    def check(self, path: Path) -> None:
        """Read back the closed file at `path`: its size or number of rows, its columns, and a sample of lines.

        Raises:
            UnfitColumnError: a column is not what was written.
            ValueError: the file is not.
        """

    def abandon(self) -> None:
        """Release resources; the file will be discarded."""


class Writing(Protocol):
    """The functions that each format's module has."""

    def open_lines(self, file: Any, layout: Layout, folder: Path) -> LineWriter:
        """Make a writer to the binary `file`; data that it must buffer goes into an unnamed file in `folder`."""

    def first_difference(self, path: Path, other: Path) -> int | None:
        """Return the first line (from 1) in which two written files differ; None when they are equal."""


@contextmanager
def open_writer(format: OutputFormat, path: Path, layout: Layout) -> Iterator[LineWriter]:  # noqa: A002 - the setting's name
    """Open a writer whose file replaces `path` when the body ends; `path` stays untouched when the body raises.

    Raises:
        UnfitColumnError: a column must be JSON text.
        StorageError: the disk refuses, or the file does not read back as it was written.
    """
    with replace_atomically(path) as file:
        writer = writing(format).open_lines(file, layout, path.parent)
        try:
            yield writer
            # Parquet's footer and CSV's buffer come with it: what `check` reads back must be whole.
            writer.close()
            file.flush()
            try:
                writer.check(Path(file.name))
            except ValueError as error:
                raise StorageError(f"{named(path)}: does not read back as it was written: {error}") from error
        except BaseException:
            writer.abandon()
            raise


def writing(format: OutputFormat) -> Writing:  # noqa: A002 - the setting's name
    """Import the module of a format on first use: Parquet's loads pyarrow."""
    name = "jsonl" if format == "openai-batch" else format
    return cast("Writing", import_module(f"batch.writers.{name}"))
