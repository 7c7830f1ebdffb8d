"""Write a report of an unexpected exception that holds neither secrets nor row data."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from batch._version import __version__
from batch.errors import InternalError, PromptmillError, describe_bug
from batch.events import Event, UnexpectedError
from batch.rundir.local import RunDirectory

# Distinct exceptions that a report names at most.
MOST_KINDS = 20


class BugCollector:
    """Observes a run and collects the unexpected exceptions that its attempts met. `path` is their report, once written."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._bugs: Counter[UnexpectedError] = Counter()
        self.path: Path | str | None = None

    def notify(self, event: Event) -> None:
        """Count an unexpected exception."""
        if isinstance(event, UnexpectedError) and (event in self._bugs or len(self._bugs) < MOST_KINDS):
            self._bugs[event] += 1

    def write(self) -> None:
        """Write the report, if there is anything to report. A disk that refuses is no reason to end a run."""
        if self._bugs:
            with suppress(PromptmillError, OSError):
                lines = [f"{count} x {bug.where}\n{bug.traceback}" for bug, count in self._bugs.items()]
                self.path = self._directory.publish(_write(lines, self._directory.path))[0]


def internal_error(error: Exception, directory: RunDirectory) -> InternalError:
    """Turn an unexpected exception into the error that a command ends with, and write its report into the run directory."""
    names = ", ".join(dict.fromkeys(type(each).__name__ for each in _leaves(error)))
    with suppress(PromptmillError, OSError):
        written = directory.publish(_write([describe_bug(each) for each in _leaves(error)], directory.path))[0]
        return InternalError(
            f"an unexpected {names} ended the run; all outcomes so far are in the journal, and the same command continues from there; "
            f"please report it with {written} (it holds no keys and no row data)"
        )
    return InternalError(f"an unexpected {names} ended the run; all outcomes so far are in the journal, and the same command continues")


def _write(parts: Iterable[str], folder: Path) -> Path:
    path = folder / f"bug-report-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
    head = f"promptmill {__version__}, Python {sys.version.split()[0]}, {platform.platform()}"
    path.write_text("\n\n".join([head, *parts]) + "\n")
    path.chmod(0o600)
    return path


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
