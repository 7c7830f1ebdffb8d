"""What an attempt's end means: done, retry, fail the task, or stop the run. The status first, then the body.

Sources: the providers' own pages on errors (OpenAI, Azure, Together, Groq, OpenRouter, DeepSeek, Gemini, Anthropic) and the sources of
vLLM, llama.cpp, Ollama, TGI and Ray Serve; told in rows, as data, in `_KINDS` and `_STATUSES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from batch.policy.redaction import sample
from batch.policy.waits import server_wait
from batch.records import ErrorInfo, ErrorKind, Exchange, Fault, ReplyError


class Action(Enum):
    """What to do with the task, or with the run."""

    DONE = "done"
    RETRY = "retry"
    FAIL = "fail"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt's end means.

    `wait` is the server's own wait in seconds, not capped, None when it named none. `charged` is False when the attempt does not
    count against the task's attempts (the endpoint was loading or never got the request). `shrink`: the endpoint is overloaded.
    `doubled`: it may have answered, and billed, although the task is retried. `unusable`: it gave its answer whole, in a form that
    cannot be used: the task is retried once, since each answer is paid for.
    """

    action: Action
    error: ErrorInfo | None = None
    wait: float | None = None
    charged: bool = True
    shrink: bool = False
    doubled: bool = False
    unusable: bool = False


class _Ruling(NamedTuple):
    action: Action
    code: str
    charged: bool = True
    shrink: bool = False
    doubled: bool = False
    unusable: bool = False


_DONE = Verdict(Action.DONE)
_RETRY, _FAIL, _STOP = Action.RETRY, Action.FAIL, Action.STOP

_BAD_REQUEST = _Ruling(_FAIL, "bad_request")
_SERVER_ERROR = _Ruling(_RETRY, "server_error")
_MAYBE_ANSWERED = _Ruling(_RETRY, "server_error", doubled=True)
_OVERLOADED = _Ruling(_RETRY, "overloaded", shrink=True)
_RATE_LIMIT = _Ruling(_RETRY, "rate_limit", charged=False, shrink=True)  # it says nothing of the row; its wait bounds the retries
_LOADING = _Ruling(_RETRY, "loading", charged=False)
_QUOTA = _Ruling(_STOP, "quota")
_QUOTA_FOR_NOW = _Ruling(_RETRY, "quota")
_AUTHENTICATION = _Ruling(_STOP, "authentication")
_PERMISSION = _Ruling(_FAIL, "permission")
_MODEL_NOT_FOUND = _Ruling(_STOP, "model_not_found")
_NOT_FOUND = _Ruling(_FAIL, "not_found")
_NO_SUCH_PATH = _Ruling(_STOP, "not_found")
_CONTEXT_LENGTH = _Ruling(_FAIL, "context_length")
_CONTENT_FILTER = _Ruling(_FAIL, "content_filter")
_TOO_LARGE = _Ruling(_FAIL, "too_large")
_MISFIT = _Ruling(_RETRY, "answer_not_json", doubled=True, unusable=True)
# Refused before a token was made: such an attempt is not billed, also where the refusal comes inside a 200.
_NOT_BEGUN = frozenset({"overloaded", "rate_limit", "loading", "quota"})

_STATUSES: dict[int, _Ruling] = {
    401: _AUTHENTICATION,
    402: _QUOTA,
    403: _PERMISSION,
    404: _NOT_FOUND,
    405: _NO_SUCH_PATH,
    408: _MAYBE_ANSWERED,
    409: _SERVER_ERROR,
    413: _TOO_LARGE,
    424: _SERVER_ERROR,  # TGI: the generation failed
    425: _SERVER_ERROR,
    429: _RATE_LIMIT,
    498: _OVERLOADED,  # Groq: the flex tier is out of capacity
    502: _MAYBE_ANSWERED,
    503: _OVERLOADED,
    504: _MAYBE_ANSWERED,
    520: _MAYBE_ANSWERED,  # 520 to 524: Cloudflare, on its way to the endpoint
    521: _Ruling(_RETRY, "server_error", charged=False),
    522: _Ruling(_RETRY, "server_error", charged=False),
    523: _Ruling(_RETRY, "server_error", charged=False),
    524: _MAYBE_ANSWERED,
    529: _OVERLOADED,  # Anthropic
}

_STATUS_OF_NAME: dict[str, int] = {
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

# The words that stop a run are looked for at a message's beginning and before any quote only: servers quote rows in their messages.

_CLIENT_ERRORS = frozenset({400, 403, 404, 413, 422})


class _Kind(NamedTuple):
    """An error that is known by its name (code or type) or by its words, at these statuses."""

    ruling: _Ruling
    statuses: frozenset[int]
    names: re.Pattern[str] | None = None
    words: re.Pattern[str] | None = None


_KINDS: tuple[_Kind, ...] = (
    # Groq: the model's answer is no JSON, or no call of a tool; it stands in failed_generation.
    _Kind(_MISFIT, frozenset({400, 422}), re.compile(r"json_validate_failed|tool_use_failed|output_parse_failed")),
    _Kind(
        _QUOTA,
        _CLIENT_ERRORS | {402, 429},
        re.compile(
            r"insufficient_(quota|balance|credits|funds)|credit_balance_exhausted|.*spend_limit_exceeded"
            r"|organization_usage_limit_exceeded|billing_(hard_limit_reached|not_active)"
        ),
        re.compile(r"^[^'\"{\[]{0,40}(credit balance is too low|insufficient (balance|credits)|key limit exceeded|billing hard limit)"),
    ),
    _Kind(
        _AUTHENTICATION,
        frozenset({400, 403}),
        re.compile(r"invalid_api_key|api_key_invalid"),
        re.compile(r"^[^'\"{\[]{0,40}(api key not valid|invalid api key|incorrect api key)"),
    ),
    _Kind(
        _CONTENT_FILTER,
        _CLIENT_ERRORS,
        # Beside OpenAI and Azure: Alibaba, one-api, Zhipu (1301), Volcengine, MiniMax (1026, 1027), DeepSeek ("Content Exists Risk"), xAI.
        re.compile(
            r"(output_)?content_filter.*|content_policy_violation|responsibleaipolicyviolation|moderation.*|data_?inspection_?failed"
            r"|sensitive_words?_detected|(input|output)?(text|image)?sensitivecontentdetected.*|prohibited_content|1301|102[67]|guardrail.*"
        ),
        re.compile(
            r"responsibleaipolicyviolation|content management policy|content policy|flagged|requires moderation|content exists risk"
            r"|data_?inspection_?failed|inappropriate content|new_sensitive|sensitive content|violates? .{0,40}usage guidelines"
        ),
    ),
    _Kind(
        _CONTEXT_LENGTH,
        _CLIENT_ERRORS | {500},
        re.compile(r"context_length_exceeded|exceed_context_size_error|string_above_max_length"),
        re.compile(
            r"maximum context length|context (length|window|size)|too many tokens|prompt is too long|max_model_len"
            r"|`?inputs`? (tokens|must have less than)|input (is too long|token count .* exceeds)|exceeds? .*\bcontext\b"
        ),
    ),
    _Kind(
        _MODEL_NOT_FOUND,
        _CLIENT_ERRORS,
        re.compile(r"model_not_found|model_not_available|invalid_model|deploymentnotfound|unknown_model"),
        re.compile(
            r"^[^'\"{\[]{0,40}(model:? \S{1,200} (was |is |does |has been )?(not found|not exist|deprecated|decommissioned)"
            r"|model not (found|exist)|models/\S+ is not found|(invalid|unknown|no such) model\b|unable to access model)"
            r"|^\S{1,200} is not a valid model"
        ),
    ),
    _Kind(_LOADING, frozenset({503, 500, 502}), None, re.compile(r"loading model|(model|currently|still) .{0,200}loading|is loading")),
)

_PLAIN_404 = re.compile(r"\s*(not found|404 page not found|404 not found|)\s*\.?")

_FAULTS: dict[str, _Ruling] = {
    "tls": _Ruling(_STOP, "tls"),
    "too_big": _Ruling(_FAIL, "too_big"),
    "held": _Ruling(_RETRY, "held", charged=False, doubled=True),
    "queued": _Ruling(_FAIL, "queued"),
}


def judge(exchange: Exchange, now_wall: float) -> Verdict:
    """The verdict on an attempt; `now_wall` is in seconds since the epoch (for waits given as a date)."""
    status = exchange.status
    if status is None:
        return _on_fault(exchange.fault or Fault(ErrorKind.NETWORK, "reset", "no reply came"), None)
    if not 200 <= status < 300:
        return _on_status(exchange, status, now_wall)
    error = exchange.reply.error if exchange.reply is not None else None
    if error is not None:
        return _on_inner_error(exchange, error, now_wall)
    if exchange.fault is not None:
        return _on_fault(exchange.fault, status)
    return _DONE


def _on_fault(fault: Fault, status: int | None) -> Verdict:
    ruling = _FAULTS.get(fault.code) or _Ruling(_RETRY, fault.code, charged=fault.sent, doubled=fault.sent, unusable=fault.answered)
    return _verdict(ruling, ErrorInfo(fault.kind, fault.code, fault.message, status), None)


def _on_status(exchange: Exchange, status: int, now_wall: float) -> Verdict:
    error = exchange.reply.error if exchange.reply is not None else None
    wait = server_wait(exchange.headers, now_wall)
    if 300 <= status < 400:
        target = exchange.headers.get("location", "nowhere")
        message = f"the endpoint redirects to {target}, and redirects are not followed: set base_url to where it really is"
        return _verdict(_Ruling(_STOP, "redirect"), ErrorInfo(ErrorKind.API, "redirect", message, status), None)
    ruling = _ruling(status, error, exchange.body, wait)
    should_retry = exchange.headers.get("x-should-retry")
    if should_retry == "false" and ruling.action is _RETRY:
        ruling = ruling._replace(action=_FAIL)
    elif should_retry == "true" and ruling.action is _FAIL:
        ruling = ruling._replace(action=_RETRY)
    message = _message(status, error, exchange.body)
    if ruling is _NO_SUCH_PATH:
        message = f"{message}: nothing is served at this path, see that base_url is right"
    kind = ErrorKind.OUTPUT if ruling is _MISFIT else ErrorKind.API
    return _verdict(ruling, ErrorInfo(kind, ruling.code, message, status), wait)


def _on_inner_error(exchange: Exchange, error: ReplyError, now_wall: float) -> Verdict:
    wait = server_wait(exchange.headers, now_wall)
    status = error.status or _status_of_names(error)
    if status is None:
        info = ErrorInfo(ErrorKind.PROTOCOL, "error_in_body", f"an error inside a {exchange.status}: {error.message}", exchange.status)
        return _verdict(_Ruling(_RETRY, "error_in_body", doubled=True), info, wait)
    ruling = _ruling(status, error, b"", wait)
    info = ErrorInfo(ErrorKind.API, ruling.code, f"{error.message} (inside a {exchange.status})", exchange.status)
    begun = exchange.first_token_at is not None or ruling.code not in _NOT_BEGUN
    return _verdict(ruling._replace(doubled=begun), info, wait)


def _status_of_names(error: ReplyError) -> int | None:
    for name in _names(error):
        status = _STATUS_OF_NAME.get(name)
        if status is not None:
            return status
    kind = _known(error, None)
    return None if kind is None else min(kind.statuses)


def _ruling(status: int, error: ReplyError | None, body: bytes, wait: float | None) -> _Ruling:
    words = error if error is not None else ReplyError(sample(body))
    kind = _known(words, status)
    if kind is not None:
        ruling = kind.ruling
    elif status == HTTPStatus.NOT_FOUND and (error is None or _PLAIN_404.fullmatch(error.message.lower())):
        ruling = _NO_SUCH_PATH
    else:
        ruling = _STATUSES.get(status) or (_BAD_REQUEST if status < 500 else _SERVER_ERROR)
    if ruling is _QUOTA and status == HTTPStatus.PAYMENT_REQUIRED and wait is not None:
        return _QUOTA_FOR_NOW
    return ruling


def _known(error: ReplyError, status: int | None) -> _Kind | None:
    names = _names(error)
    message = error.message.lower()
    for kind in _KINDS:
        if status is not None and status not in kind.statuses:
            continue
        if kind.names is not None and any(kind.names.fullmatch(name) for name in names):
            return kind
        if kind.words is not None and kind.words.search(message):
            return kind
    return None


def _names(error: ReplyError) -> list[str]:
    return [name.lower() for name in (error.code, error.type) if name]


def _message(status: int, error: ReplyError | None, body: bytes) -> str:
    said = error.message if error is not None else sample(body)
    if said:
        return said
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "unknown status"
    return f"HTTP {status} ({phrase}) without a text"


def _verdict(ruling: _Ruling, error: ErrorInfo, wait: float | None) -> Verdict:
    verdict = Verdict(ruling.action, error, wait, ruling.charged, ruling.shrink, ruling.doubled, ruling.unusable)
    if ruling.action is not _RETRY:
        return replace(verdict, wait=None, doubled=False)
    return verdict
