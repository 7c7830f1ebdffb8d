"""The meanings of errors, and those of statuses, as data. The codes and words of each provider are in dialect_table.py."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Action(Enum):
    """What to do with the task, or with the run."""

    DONE = "done"
    RETRY = "retry"
    FAIL = "fail"
    STOP = "stop"


class Ruling(NamedTuple):
    """What an error means; the fields are those of `verdicts.Verdict`."""

    action: Action
    code: str
    charged: bool = True
    reduce_concurrency: bool = False
    may_be_billed_twice: bool = False
    unusable: bool = False


RETRY, FAIL, STOP = Action.RETRY, Action.FAIL, Action.STOP

BAD_REQUEST = Ruling(FAIL, "bad_request")
SERVER_ERROR = Ruling(RETRY, "server_error")
MAYBE_ANSWERED = Ruling(RETRY, "server_error", may_be_billed_twice=True)
NEVER_ARRIVED = Ruling(RETRY, "server_error", charged=False)
OVERLOADED = Ruling(RETRY, "overloaded", reduce_concurrency=True)
RATE_LIMIT = Ruling(RETRY, "rate_limit", charged=False, reduce_concurrency=True)  # it says nothing of the row; its wait bounds the retries
NO_CAPACITY = Ruling(RETRY, "no_capacity", charged=False)  # of a cheaper tier: the endpoint serves the others, and the row later
LOADING = Ruling(RETRY, "loading", charged=False)
QUOTA = Ruling(STOP, "quota")
QUOTA_FOR_NOW = Ruling(RETRY, "quota", charged=False)  # the endpoint says when to come again; nothing of it is about the row
AUTHENTICATION = Ruling(STOP, "authentication")
DISABLED = Ruling(STOP, "permission")
PERMISSION = Ruling(FAIL, "permission")
MODEL_NOT_FOUND = Ruling(STOP, "model_not_found")
NOT_FOUND = Ruling(FAIL, "not_found")
NO_SUCH_PATH = Ruling(STOP, "not_found")
CONTEXT_LENGTH = Ruling(FAIL, "context_length")
CONTENT_FILTER = Ruling(FAIL, "content_filter")
TOO_LARGE = Ruling(FAIL, "too_large")
MISFIT = Ruling(RETRY, "answer_not_json", may_be_billed_twice=True, unusable=True)

STATUSES: dict[int, Ruling] = {
    401: AUTHENTICATION,
    402: QUOTA,
    403: PERMISSION,
    404: NOT_FOUND,
    405: NO_SUCH_PATH,
    408: MAYBE_ANSWERED,
    409: SERVER_ERROR,
    413: TOO_LARGE,
    421: SERVER_ERROR,  # RFC 9110, 15.5.20: another connection may reach the right server
    423: SERVER_ERROR,
    424: SERVER_ERROR,  # TGI: the generation failed
    425: SERVER_ERROR,
    429: RATE_LIMIT,
    460: MAYBE_ANSWERED,  # AWS load balancer: it lost the connection to us
    498: NO_CAPACITY,  # Groq: the flex tier is out of capacity
    499: MAYBE_ANSWERED,  # nginx and Google: the client, which may be a proxy on the way, closed the request
    502: MAYBE_ANSWERED,
    503: OVERLOADED,
    504: MAYBE_ANSWERED,
    520: MAYBE_ANSWERED,  # 520 to 524: Cloudflare, on its way to the endpoint
    521: NEVER_ARRIVED,
    522: NEVER_ARRIVED,
    523: NEVER_ARRIVED,
    524: MAYBE_ANSWERED,
    529: OVERLOADED,  # Anthropic
}

STATUS_OF_NAME: dict[str, int] = {
    "api_error": 500,
    "authentication_error": 401,
    "authenticationerror": 401,
    "badrequesterror": 400,
    "bad_request": 400,
    "image_too_large": 400,
    "internal_server_error": 500,
    "internalservererror": 500,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_image": 400,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded_error": 529,
    "permission_denied": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "serviceunavailableerror": 503,
    "timeout": 408,
    "unavailable": 503,
    "unavailable_error": 503,
}
"""Codes and types that stand in an error inside a 200, where no status says what they mean."""
