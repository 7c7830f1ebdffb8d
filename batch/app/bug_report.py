"""Write a report of an unexpected exception that holds neither secrets nor row data."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from batch._version import __version__
from batch.errors import InternalError, PromptmillError
from batch.rundir.local import RunDirectory

_PACKAGE = Path(__file__).parents[1]


def internal_error(error: Exception, directory: RunDirectory) -> InternalError:
    """Turn an unexpected exception into the error that a command ends with, and write its report into the run directory."""
    names = ", ".join(dict.fromkeys(type(each).__name__ for each in _leaves(error)))
    with suppress(PromptmillError, OSError):
        written = directory.publish(_write(error, directory.path))[0]
        return InternalError(
            f"an unexpected {names} ended the run; all outcomes so far are in the journal, and the same command continues from there; "
            f"please report it with {written} (it holds no keys and no row data)"
        )
    return InternalError(f"an unexpected {names} ended the run; all outcomes so far are in the journal, and the same command continues")


def _write(error: Exception, folder: Path) -> Path:
    path = folder / f"bug-report-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
    path.write_text("\n".join(_lines(error)) + "\n")
    path.chmod(0o600)
    return path


def _lines(error: Exception) -> Iterator[str]:
    yield f"promptmill {__version__}, Python {sys.version.split()[0]}, {platform.platform()}"
    for leaf in _leaves(error):
        yield ""
        # The exception's own text is not written: it may quote a row, a reply or a URL.
        yield f"{type(leaf).__module__}.{type(leaf).__qualname__}"
        for frame in traceback.extract_tb(leaf.__traceback__):
            yield f"  {_place(frame.filename)}:{frame.lineno} in {frame.name}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, or the exception itself, each followed by its causes."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
        return
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _place(file: str) -> str:
    """Shorten a file's path: the user's folders are nobody else's business."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        return str(path.relative_to(_PACKAGE.parent))
    return str(Path(*path.parts[-2:]))
