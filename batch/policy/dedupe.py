"""Decides which requests share one answer, so that only one is sent, and which failures belong to the request and not to the attempt."""

from __future__ import annotations

import orjson

from batch.records import SCORING, ErrorInfo, ErrorKind, Outcome, Request
from batch.settings import Job, Variant

# Verdicts on the request itself: an equal request would get the same one.
_OF_THE_REQUEST = frozenset({"bad_request", "context_length", "too_large", "content_filter", "too_big"})


def may_share(job: Job, variant: Variant) -> bool:
    """Return whether equal requests of a variant may share an answer: False says so of all, without a request.

    Repeats are there to see how answers differ, and several processes do not know each other's requests.
    """
    return job.run.dedupe and job.run.repeats == 1 and job.run.processes == 1 and may_repeat(variant)


def may_repeat(variant: Variant) -> bool:
    """Return whether any request of a variant may be repeatable."""
    api = variant.prompt.api
    return variant.prompt.stored or api == "embeddings" or api in SCORING or _is_zero(variant.parameters.get("temperature"))


def is_repeatable(variant: Variant, request: Request) -> bool:
    """Return whether an equal request has the same answer: at an explicit temperature of 0, and for embeddings and scores."""
    if request.api == "embeddings" or request.api in SCORING:
        return True
    if request.api == "moderations":
        return False
    if not variant.prompt.stored:
        return _is_zero(variant.parameters.get("temperature"))
    # Stored requests have parameters of their own; the variant's are in their bodies already.
    return _is_zero(orjson.loads(request.body).get("temperature"))


def shares_failure(error: ErrorInfo) -> bool:
    """Whether an equal request would fail in the same way. That includes an answer that fails the checks, since it would be the same."""
    return error.kind is ErrorKind.OUTPUT or (error.kind is ErrorKind.API and error.code in _OF_THE_REQUEST)


def shares_outcome(outcome: Outcome, request: Request) -> bool:
    """Whether the outcome of another task is that of this request too."""
    return outcome.key == request.key and (outcome.error is None or shares_failure(outcome.error))


def _is_zero(temperature: object) -> bool:
    return type(temperature) in (int, float) and temperature == 0
