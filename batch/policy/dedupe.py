"""Which requests have one answer, so that it need be asked for only once, and which failures are theirs and not the attempt's."""

from __future__ import annotations

import orjson

from batch.records import ErrorInfo, ErrorKind, Outcome, Request
from batch.settings import Job, Variant

# What an endpoint says of the request itself: an equal one would be told the same.
_OF_THE_REQUEST = frozenset({"bad_request", "context_length", "too_large", "content_filter", "too_big"})


def may_share(job: Job) -> bool:
    """Whether a job lets equal requests share an answer.

    Repeats are there to see how answers differ, and several processes do not know each other's requests.
    """
    return job.run.dedupe and job.run.repeats == 1 and job.run.processes == 1


def is_repeatable(variant: Variant, request: Request) -> bool:
    """Whether an equal request has the same answer: at a temperature that is 0 and said to be so, and for embeddings."""
    if request.api == "embeddings":
        return True
    if request.api == "moderations":
        return False
    if not variant.prompt.stored:
        return _is_zero(variant.parameters.get("temperature"))
    # Stored requests have parameters of their own; the variant's are in their bodies already.
    return _is_zero(orjson.loads(request.body).get("temperature"))


def shares_failure(error: ErrorInfo) -> bool:
    """Whether an equal request would fail in the same way. So would one whose answer, which would be the same, does not do."""
    return error.kind is ErrorKind.OUTPUT or (error.kind is ErrorKind.API and error.code in _OF_THE_REQUEST)


def shares_outcome(outcome: Outcome, request: Request) -> bool:
    """Whether the outcome of another task is that of this request too."""
    return outcome.key == request.key and (outcome.error is None or shares_failure(outcome.error))


def _is_zero(temperature: object) -> bool:
    return type(temperature) in (int, float) and temperature == 0
