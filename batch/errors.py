"""The errors of promptmill, one tree; foreign exceptions are mapped to it at the boundary where they arise.

PromptmillError
├── JobError                a job file that cannot be used: every problem, each with its place
├── InputError              input that cannot be used
│   ├── RowError            one row that cannot become a request (kind input)
│   └── FileError           a file that a row names and that cannot be sent; becomes a RowError
├── RunDirectoryError       a run directory that cannot be used
│   ├── LockedError         another runner holds it
│   ├── DamagedError        a journal record that is not as it was written: file and offset
│   └── ChangedError        the job differs from the one that the directory holds
├── StorageError            the disk refuses (full, read-only, I/O error), or an output cannot be written
│   └── InputChangedError   the input changed since its rows were sent
├── SetupError              something that must be there first is missing (a key's variable, an extra, model weights)
├── InternalError           an exception that promptmill did not expect ended the run
└── EndpointError           an attempt that did not give an answer; has an ErrorInfo {kind, code, message, http_status}
    ├── NetworkError        kind network: resolve connect tls reset proxy
    │                       timeout_connect timeout_first_byte timeout_idle timeout_attempt held
    ├── APIError            kind api: rate_limit overloaded no_capacity loading server_error bad_request context_length too_large
    │                       authentication permission quota model_not_found not_found content_filter redirect
    ├── ProtocolError       kind protocol: not_json no_choices truncated_body truncated_stream error_in_body too_big queued unexpected
    └── OutputError         kind output: schema_violation answer_not_json refusal

Codes of kind input: bad_row missing_column bad_template bad_id bad_messages bad_parameter missing_file refused_path bad_file. The codes
are part of the output format.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.records import ErrorInfo, ErrorKind


class PromptmillError(Exception):
    """Base of all errors that promptmill raises on purpose; its text is for the user and says what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a job file: `place` is "job.toml:12", `key` the dotted key, `hint` what to do about it."""

    place: str
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.place}: {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class JobError(PromptmillError):
    """A job file that cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InputError(PromptmillError):
    """Input that cannot be used: a missing file, an unknown format, a duplicate id."""


class RowError(InputError):
    """A row that cannot become a request; `code` is one of the input codes."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    @property
    def info(self) -> ErrorInfo:
        """The error as it is journaled."""
        return ErrorInfo(ErrorKind.INPUT, self.code, str(self))


class FileError(InputError):
    """A file that a row names and that cannot be sent, without its place; `code` is missing_file, refused_path or bad_file."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class RunDirectoryError(PromptmillError):
    """A run directory that cannot be used."""


class LockedError(RunDirectoryError):
    """Another runner holds the run directory."""


class DamagedError(RunDirectoryError):
    """A journal record that is not as it was written."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        self.path, self.offset = path, offset
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")


class ChangedError(RunDirectoryError):
    """The job or its input differs from what the run directory was begun with."""


class StorageError(PromptmillError):
    """The disk refuses: full, read-only, or an I/O error."""


class InputChangedError(StorageError):
    """The input is no longer the one whose rows were sent, so that outputs would carry other rows' columns."""


class SetupError(PromptmillError):
    """Something that must be there first is missing; the text has the command that gets it."""


class InternalError(PromptmillError):
    """An exception that promptmill did not expect ended the run; the text names its report file."""


class EndpointError(PromptmillError):
    """An attempt that gave no answer."""

    def __init__(self, info: ErrorInfo) -> None:
        self.info = info
        super().__init__(info.message)


class NetworkError(EndpointError):
    """No whole reply came over the wire."""


class APIError(EndpointError):
    """The endpoint refused."""


class ProtocolError(EndpointError):
    """The endpoint's reply is not of the OpenAI protocol."""


class OutputError(EndpointError):
    """The answer is not what the job demands of it."""


_BY_KIND: dict[ErrorKind, type[EndpointError]] = {
    ErrorKind.NETWORK: NetworkError,
    ErrorKind.API: APIError,
    ErrorKind.PROTOCOL: ProtocolError,
    ErrorKind.OUTPUT: OutputError,
}


def describe_bug(error: BaseException) -> str:
    """Format an exception that was not expected for a report: classes and places in the code, never a message or a value.

    Messages of exceptions can quote rows, answers and keys.
    """
    lines: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines.append(type(link).__module__ + "." + type(link).__qualname__)
        lines += [
            f"  {'/'.join(Path(at.filename).parts[-3:])}:{at.lineno} in {at.name}" for at in traceback.extract_tb(link.__traceback__, 30)
        ]
        link = link.__cause__ or link.__context__
    return "\n".join(lines)


def endpoint_error(info: ErrorInfo) -> EndpointError:
    """The exception for an ErrorInfo of an attempt."""
    return _BY_KIND.get(info.kind, EndpointError)(info)
