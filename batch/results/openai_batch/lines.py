"""Write results as OpenAI's Batch API does: an output file and an error file of {id, custom_id, response, error}.

The format: https://platform.openai.com/docs/api-reference/batch/request-output. A request that the endpoint refused has its status and
error body as `response`; one that failed without an HTTP error has `response: null` and its `error`. A line has no field for a variant,
so each of several variants has its own pair of files. Repeats share the custom_id of their row; each has its own `id`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from batch.records import ErrorInfo, Outcome
from batch.results.join import Result
from batch.settings import Job
from batch.writers import Layout, open_writer

_COLUMNS = ("id", "custom_id", "response", "error")
_LINES = 256
_CLIENT_ERROR, _RATE_LIMIT, _SERVER_ERROR = 400, 429, 500


def batch_paths(job: Job, folder: Path) -> list[Path]:
    """Return the output file and the error file of each variant, in order."""
    names = ["" if len(job.variants) == 1 else f".{variant.slug}" for variant in job.variants]
    return [folder / f"{kind}.openai-batch{name}.jsonl" for name in names for kind in ("completions", "errors")]


def write_batch_lines(job: Job, tasks: Iterable[Iterable[Result]], paths: list[Path]) -> None:
    """Write `tasks`, which come in portions, to the files that `batch_paths` names."""
    with ExitStack() as stack:
        writers = [stack.enter_context(open_writer("jsonl", path, Layout(_COLUMNS))) for path in paths]
        of_variant = {variant.slug: writers[2 * number : 2 * number + 2] for number, variant in enumerate(job.variants)}
        for portion in tasks:
            remaining = iter(portion)
            while batch := list(islice(remaining, _LINES)):
                for slug, (completions, errors) in of_variant.items():
                    attempted = [(r, r.outcome) for r in batch if r.outcome is not None and r.variant.slug == slug]
                    completions.write([batch_line(r, o) for r, o in attempted if o.ok])
                    errors.write([batch_line(r, o) for r, o in attempted if not o.ok])


def batch_line(result: Result, outcome: Outcome) -> dict[str, Any]:
    """Build the line of a task; its ids are stable. The response body is the endpoint's, byte for byte."""
    task = f"{result.variant.slug}\0{result.repeat}\0{result.row.id}".encode(errors="surrogatepass")
    line = {"id": f"batch_req_{blake2b(task, digest_size=16).hexdigest()}", "custom_id": result.row.id}
    error = outcome.error
    status = error.http_status if error is not None else outcome.http_status
    if error is None:
        return {**line, "response": _response(outcome, status or 200, orjson.Fragment(outcome.response or b"null")), "error": None}
    if status is not None and status >= _CLIENT_ERROR:
        return {**line, "response": _response(outcome, status, {"error": _error_body(error, status)}), "error": None}
    return {**line, "response": None, "error": {"code": error.code, "message": error.message}}


def _response(outcome: Outcome, status: int, body: Any) -> dict[str, Any]:
    return {"status_code": status, "request_id": f"req_{outcome.key.hex()}", "body": body}


def _error_body(error: ErrorInfo, status: int) -> dict[str, Any]:
    kind = "invalid_request_error"
    if status >= _SERVER_ERROR:
        kind = "server_error"
    elif status == _RATE_LIMIT:
        kind = "rate_limit_error"
    return {"message": error.message, "type": kind, "param": None, "code": error.code}
