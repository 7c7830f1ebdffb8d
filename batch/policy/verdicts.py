"""Judges the end of an attempt: done, retry, fail the task, or stop the run. The status first, then the body.

The providers' words and codes are data, with their sources, in `dialect_table.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus

from batch.policy.dialect_table import DIALECTS, PER_DAY, Dialect
from batch.policy.dialects import (
    BAD_REQUEST,
    FAIL,
    MISFIT,
    NO_SUCH_PATH,
    QUOTA,
    QUOTA_FOR_NOW,
    RETRY,
    SERVER_ERROR,
    STATUS_OF_NAME,
    STATUSES,
    STOP,
    Action,
    Ruling,
)
from batch.policy.pages import without_pages
from batch.policy.redaction import sample
from batch.policy.waits import asked_wait
from batch.records import ErrorInfo, ErrorKind, Exchange, Fault, ReplyError

__all__ = ["Action", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of an attempt's end.

    `wait` is the server's own wait in seconds, not capped, None when it named none. `charged` is False when the attempt does not
    count against the task's attempts (the endpoint was loading or never got the request). `reduce_concurrency`: the endpoint is overloaded.
    `may_be_billed_twice`: it may have answered, and billed, although the task is retried. `unusable`: it gave its answer whole, in a form
    that cannot be used: the task is retried once at most, since each answer is paid for.
    """

    action: Action
    error: ErrorInfo | None = None
    wait: float | None = None
    charged: bool = True
    reduce_concurrency: bool = False
    may_be_billed_twice: bool = False
    unusable: bool = False


_DONE = Verdict(Action.DONE)

_REFUSED_UNBILLED = frozenset({401, 402, 403, 404, 413, 429, 498, 503, 529})
_GATEWAY_TIMEOUT = 524
_LOOKED_AT = 2000
_MESSAGE = re.compile(rb'^\s*[\[{][^{]{0,200}"(?:message|msg|detail|error)"\s*:\s*"([^"]{1,2000})"')
_CODE = re.compile(rb'^\s*[\[{][^{]{0,200}"(?:code|error_code)"\s*:\s*"?([\w.-]{1,80})')
_PLAIN_404 = re.compile(r"\s*(not found|404 page not found|404 not found|)\s*\.?")

_FAULTS: dict[str, Ruling] = {
    "tls": Ruling(STOP, "tls"),
    "too_big": Ruling(FAIL, "too_big"),
    "held": Ruling(RETRY, "held", charged=False, may_be_billed_twice=True),
    "queued": Ruling(FAIL, "queued"),
}


def judge(exchange: Exchange, now_wall: float) -> Verdict:
    """Return the verdict on an attempt; `now_wall` is in seconds since the epoch (for waits given as a date)."""
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
    ruling = _FAULTS.get(fault.code) or Ruling(
        RETRY, fault.code, charged=fault.sent, may_be_billed_twice=fault.sent, unusable=fault.answered
    )
    return _verdict(ruling, ErrorInfo(fault.kind, fault.code, fault.message, status), None)


def _on_status(exchange: Exchange, status: int, now_wall: float) -> Verdict:
    error = exchange.reply.error if exchange.reply is not None else None
    wait = asked_wait(exchange.headers, exchange.body, None if error is None else error.message, now_wall)
    if 300 <= status < 400:
        target = exchange.headers.get("location")
        message = f"the endpoint redirects to {target}, and redirects are not followed: set base_url to where it really is"
        if not target:
            message = f"HTTP {status} ({_phrase(status)}), which is no answer and names no other place: see that base_url is right"
        return _verdict(Ruling(STOP, "redirect"), ErrorInfo(ErrorKind.API, "redirect", message, status), None)
    ruling = _ruling(status, error, exchange.body, wait)
    # OpenAI's own word on it, which its SDKs obey too.
    should_retry = exchange.headers.get("x-should-retry")
    if should_retry == "false" and ruling.action is RETRY:
        ruling = ruling._replace(action=FAIL)
    elif should_retry == "true" and ruling.action is FAIL:
        ruling = ruling._replace(action=RETRY)
    message = _message(status, error, exchange.body)
    if ruling is NO_SUCH_PATH:
        message = f"{message}: nothing is served at this path, see that base_url is right"
    elif status == _GATEWAY_TIMEOUT:
        message = f"{message}: a proxy before the endpoint gave up waiting; with run.stream = true it sees that the answer is on its way"
    kind = ErrorKind.OUTPUT if ruling is MISFIT else ErrorKind.API
    return _verdict(ruling, ErrorInfo(kind, ruling.code, message, status), wait)


def _on_inner_error(exchange: Exchange, error: ReplyError, now_wall: float) -> Verdict:
    wait = asked_wait(exchange.headers, exchange.body, error.message, now_wall)
    message = without_pages(error.message)
    status = error.status or _status_of_names(error)
    if status is None:
        info = ErrorInfo(ErrorKind.PROTOCOL, "error_in_body", f"an error inside a {exchange.status}: {message}", exchange.status)
        return _verdict(Ruling(RETRY, "error_in_body", may_be_billed_twice=True), info, wait)
    ruling = _ruling(status, error, exchange.body, wait)
    kind = ErrorKind.OUTPUT if ruling is MISFIT else ErrorKind.API
    info = ErrorInfo(kind, ruling.code, f"{message} (inside a {exchange.status})", exchange.status)
    # A refusal that came before the first token cannot have been billed.
    billed = exchange.first_token_at is not None or status not in _REFUSED_UNBILLED
    return _verdict(ruling._replace(may_be_billed_twice=billed), info, wait)


def _status_of_names(error: ReplyError) -> int | None:
    for name in _names(error):
        status = STATUS_OF_NAME.get(name)
        if status is not None:
            return status
    kind = _dialect(error, None)
    return None if kind is None else min(kind.statuses)


def _ruling(status: int, error: ReplyError | None, body: bytes, wait: float | None) -> Ruling:
    words = error if error is not None else _unread(body)
    kind = _dialect(words, status)
    if status == HTTPStatus.TOO_MANY_REQUESTS and PER_DAY.search(body):
        ruling = QUOTA
    elif kind is not None:
        ruling = kind.ruling
    elif status == HTTPStatus.NOT_FOUND and (error is None or _PLAIN_404.fullmatch(error.message.lower())):
        ruling = NO_SUCH_PATH
    else:
        ruling = STATUSES.get(status) or (BAD_REQUEST if status < 500 else SERVER_ERROR)
    # OpenRouter's 402 and API Management's 403 may say when the quota is there again.
    if ruling is QUOTA and status in (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN) and wait is not None:
        return QUOTA_FOR_NOW
    return ruling


def _unread(body: bytes) -> ReplyError:
    """Return the message and code of an error in an unknown envelope, where it names them."""
    message, code = _MESSAGE.search(body), _CODE.search(body)
    text = body[:_LOOKED_AT].decode("utf-8", "replace") if message is None else message[1].decode("utf-8", "replace")
    return ReplyError(text, None if code is None else code[1].decode())


def _dialect(error: ReplyError, status: int | None) -> Dialect | None:
    names = _names(error)
    message = error.message.lower()
    for kind in DIALECTS:
        if status is not None and status not in kind.statuses:
            continue
        if kind.names is not None and any(re.fullmatch(kind.names, name) for name in names):
            return kind
        if kind.words is not None and re.search(kind.words, message):
            return kind
    return None


def _names(error: ReplyError) -> list[str]:
    return [name.lower() for name in (error.code, error.type) if name]


def _message(status: int, error: ReplyError | None, body: bytes) -> str:
    said = without_pages(error.message) if error is not None else sample(body, _LOOKED_AT)
    if any(map(str.isalnum, said)):
        return said
    return f"HTTP {status} ({_phrase(status)}) without a text"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"


def _verdict(ruling: Ruling, error: ErrorInfo, wait: float | None) -> Verdict:
    verdict = Verdict(ruling.action, error, wait, ruling.charged, ruling.reduce_concurrency, ruling.may_be_billed_twice, ruling.unusable)
    if ruling.action is not RETRY:
        return replace(verdict, wait=None, may_be_billed_twice=False)
    return verdict
