"""Read output and error files of batch runners: OpenAI's Batch API and compatible ones, vLLM's run-batch, our own.

A line is {custom_id, response, error}. vLLM's differ: before 0.5 `response` is the reply's body itself; an error may be a text beside a
response without a body, or its own error object. Source: BatchRequestOutput in vLLM's vllm/entrypoints/openai/run_batch.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batch.errors import InputError
from batch.providers.replies import ReplyFormatError, api_of, read_error, read_reply
from batch.readers.formats import FORMATS
from batch.readers.record import UnreadableRecord
from batch.records import ErrorInfo, ErrorKind, Outcome, ReplyError
from batch.writers.values import json_bytes

_NO_KEY = bytes(16)


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """One line: its custom_id, model (None where the line names none), outcome, file and line number."""

    custom_id: str
    model: str | None
    outcome: Outcome
    file: str = ""
    line: int = 0


def is_batch_answer(line: Mapping[str, Any]) -> bool:
    """Return whether a JSON object is a line of such a file."""
    return "custom_id" in line and "response" in line


def read_batch_files(paths: Sequence[Path]) -> Iterator[BatchAnswer]:
    """Iterate over the lines of all files, in order.

    Raises:
        InputError: a file cannot be read, or has a line of another format.
    """
    for path, number, line in batch_lines(paths):
        if isinstance(line, str):
            raise InputError(f"{path}:{number}: {line}")
        yield replace(batch_answer(path, number, line), file=str(path), line=number)


def batch_lines(paths: Sequence[Path]) -> Iterator[tuple[Path, int, dict[str, Any] | str]]:
    """Iterate over (file, line number, the line's object or the reason why it has none)."""
    for path in paths:
        for number, line, _ in FORMATS["jsonl"].load().read(str(path)):
            if isinstance(line, UnreadableRecord):
                yield path, number, line.message
            elif line is not None and is_batch_answer(line):
                yield path, number, line
            else:
                yield path, number, f"is no line of a batch's output, {{custom_id, response, error}}; it has: {', '.join(line or ())}"


def batch_answer(path: Path, number: int, line: Mapping[str, Any]) -> BatchAnswer:
    """Read one line of a file. Raises InputError, also for what has no place in such a line."""
    try:
        return read_batch_line(line)
    except Exception as error:
        raise InputError(f"{path}:{number}: cannot be read as an answer: {type(error).__name__}: {error}") from error


def read_batch_line(line: Mapping[str, Any]) -> BatchAnswer:
    """Read one line. An answer needs a status of success, no error, and a complete body (promise 5)."""
    status, body = _response(line.get("response"))
    custom_id = str(line["custom_id"])
    outcome = Outcome(0, custom_id, 0, _NO_KEY, 1, http_status=status)
    model = body.get("model") if isinstance(body, dict) else None
    error = _error(line.get("error"), status, body)
    if error is None and isinstance(body, dict):
        response = json_bytes(body)
        try:
            reply = read_reply(api := api_of(body), response)
        except ReplyFormatError as problem:
            error = ErrorInfo(ErrorKind.PROTOCOL, problem.code, str(problem), status)
        else:
            outcome = replace(outcome, api=api, finish_reason=reply.finish_reason, usage=reply.usage, response=response)
            error = None if reply.error is None else _error_info(reply.error, status)
    if error is not None:
        outcome = replace(outcome, error=error, http_status=error.http_status, response=None)
    return BatchAnswer(custom_id, model if isinstance(model, str) else None, outcome)


def _response(response: Any) -> tuple[int | None, Any]:
    """Return (status, body)."""
    if not isinstance(response, dict):
        return None, None
    if "status_code" in response or "body" in response:
        status = response.get("status_code", 200)
        return status if type(status) is int and 100 <= status <= 999 else None, response.get("body")
    return 200, response


def _error(error: Any, status: int | None, body: Any) -> ErrorInfo | None:
    if error:
        found = read_error({"error": error}) if not isinstance(error, dict) else read_error(error) or read_error({"error": error})
        return _error_info(found or ReplyError(str(error)), status)
    if status is not None and not 200 <= status < 300:
        return _error_info(read_error(body) or ReplyError(f"the endpoint gave the status {status}"), status)
    if not isinstance(body, dict):
        return ErrorInfo(ErrorKind.PROTOCOL, "no_choices", "the line has neither an answer nor an error", status)
    return None


def _error_info(error: ReplyError, status: int | None) -> ErrorInfo:
    """Return the error with its own code where that is a name, else with its status's."""
    status = error.status or (status if status is not None and status >= 400 else None)
    named = next((name for name in (error.code, error.type) if name and name.isidentifier()), None)
    return ErrorInfo(ErrorKind.API, named or (f"http_{status}" if status else "error"), error.message, status)


def only_model(models: Iterable[str | None]) -> str | None:
    """Return the model that all answers share; lines of failed requests name none."""
    named = {model for model in models if model is not None}
    return named.pop() if len(named) == 1 else None
