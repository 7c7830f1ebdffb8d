"""Reads error objects in the envelopes of all providers, whatever the API.

Seen: {"error": {…}} (OpenAI), {"error": "text"} (Ollama, TGI), {"detail": "Not Found"} and {"detail": [{…}]} (FastAPI, Mistral),
a bare {"object": "error", …} (vLLM before 0.10, Mistral), [{"error": {…}}] (Gemini), {"message": …} (gateways), and an `error`
inside a choice (OpenRouter).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from batch.providers.endings import ending_of, is_models_fault
from batch.records import ReplyError

_PENDING = frozenset(
    {"queued", "in_queue", "in_progress", "pending", "pending_evaluation", "processing", "accepted", "starting", "running"}
)

# Some gateways send a whole HTML page as the message.
LONGEST_MESSAGE = 2000
LONGEST_NAME = 200

# As many bytes as LONGEST_MESSAGE characters may have as escapes of JSON.
_CUT_MESSAGE = re.compile(rb'"(?:message|error|detail)"\s*:\s*"((?:[^"\\]|\\.){1,12000})', re.DOTALL)
_CUT_NAME = re.compile(rb'"(code|type)"\s*:\s*"([\w.-]{1,200})"', re.ASCII)

# Values of a gateway's own code, status or message that report success (MiniMax, Spark, Chinese gateways: code 0, "Success").
_SUCCESS = frozenset({"0", "200", "success", "succeeded", "ok", "none", "null", ""})


# https://platform.minimax.io/docs/api-reference/errorcode: limits of requests, tokens and connections; keys; money; parameters.
_MINIMAX_STATUSES = {1002: 429, 1039: 429, 1041: 429, 1004: 401, 2049: 401, 1008: 402, 2013: 400}
# Where the text of an error stands, beside `message`: AWS (Message), Baidu (error_msg), OAuth servers of gateways (error_description).
_OWN_MESSAGES = ("message", "Message", "error_msg", "errorMessage", "error_description")
# These stand beside answers too: they are errors where a code of failure stands beside them.
_REMARKS = ("msg", "errmsg", "error_message")
_MESSAGES = (*_OWN_MESSAGES, "detail", *_REMARKS)


class ReplyFormatError(ValueError):
    """A body that is not of the protocol; `code` is one of errors.py's protocol codes."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def dump(value: Any) -> bytes:
    """Write a part of a reply as JSON again. Raises ReplyFormatError for what is nested deeper than JSON is written (254 levels)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        raise ReplyFormatError("not_json", "the reply is nested too deep") from None


def first_of(items: list[Any]) -> Any:
    """Return the item with index 0: servers that work on several at once list them as they end."""
    if len(items) == 1:
        return items[0]
    return next((item for item in items if isinstance(item, dict) and item.get("index") == 0), items[0])


def read_error(document: Any) -> ReplyError | None:
    """Find the error object in a parsed body or stream event; None when there is none."""
    # Gemini wraps its errors in a list.
    if isinstance(document, list):
        return read_error(document[0]) if document and isinstance(document[0], dict) else None
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    if inner is True:
        inner = document.get("message") or document.get("detail") or inner
    # A stream has this asked of each of its events: nothing is called for a member that is not there.
    if inner and not _is_empty(inner):
        return _from_object(inner) if isinstance(inner, dict) else _from_text(inner, document)
    base = document.get("base_resp")  # MiniMax
    if base and isinstance(base, dict) and not _is_empty(base):
        code = base.get("status_code")
        status = _MINIMAX_STATUSES.get(code) if type(code) is int else None
        return _from_object({"message": base.get("status_msg"), "code": code, "status": status})
    # vLLM before 0.10, and Mistral.
    if document.get("object") == "error":
        return _from_object(document)
    choices = document.get("choices")
    if choices and isinstance(choices, list):
        return _in_choices(choices)
    # Chinese gateways write {"code": 401, "message": …, "data": null}.
    if choices is not None or document.get("data") or pending_state(document) is not None:
        return None
    errors = document.get("errors")  # Cloudflare
    if errors and isinstance(errors, list) and isinstance(errors[0], dict):
        return _from_object(errors[0])
    if document.get("detail"):
        return _from_text(_detail(document["detail"]), document)
    return _from_object(document) if _states_failure(document) else None


def error_in_cut(body: bytes) -> ReplyError | None:
    """Find the error in JSON whose end is missing, by its first message, type and code; None where there is no message."""
    message = _CUT_MESSAGE.search(body) if body.lstrip().startswith((b"{", b"[")) else None
    if message is None:
        return None
    names = {found[1]: found[2].decode() for found in _CUT_NAME.finditer(body)}
    try:
        # Half a character, which bytes or an escape may hold, is no text that JSON can carry on.
        text = json.loads(b'"' + message[1] + b'"', strict=False).encode("utf-8", "replace").decode()
    except ValueError:
        text = message[1].decode(errors="replace")
    return ReplyError(text[:LONGEST_MESSAGE], names.get(b"code"), names.get(b"type"))


def pending_state(document: Any) -> str | None:
    """Return the status of work that was accepted and is not done, as a parsed reply without an answer names it; None where it names none.

    Seen: {"status": "queued"} (OpenAI's background responses, fal, Replicate), {"status": "accepted"}.
    """
    status = document.get("status") if isinstance(document, dict) else None
    return status if isinstance(status, str) and status.lower().replace("-", "_") in _PENDING else None


def _is_empty(error: Any) -> bool:
    """Whether an error member reports no error: nothing in it, or nothing but words and codes of success."""
    values = list(error.values()) if isinstance(error, dict) else [error]
    return all(not value or (isinstance(value, str | int) and str(value).strip().lower() in _SUCCESS) for value in values)


def _is_success(document: Mapping[str, Any]) -> bool:
    """Whether a gateway's message stands beside a code of success, or beside the counts of an answer."""
    if isinstance(document.get("usage"), dict):
        return True
    codes = _codes(document)
    return bool(codes) and all(code is True or str(code).lower() in _SUCCESS for code in codes)


def _states_failure(document: Mapping[str, Any]) -> bool:
    """Whether a document without an error member is one: it has a message, or a remark beside a code of failure."""
    message = next(filter(None, map(document.get, _OWN_MESSAGES)), None)
    if message is None:
        return bool(_codes(document)) and any(map(document.get, _REMARKS)) and not _is_success(document)
    # Ollama's own API has its answer under this name.
    return not (isinstance(message, dict) and "content" in message) and not _is_success(document)


def _codes(document: Mapping[str, Any]) -> list[Any]:
    names = ("code", "errcode", "status", "status_code", "statusCode", "success")
    return [document[name] for name in names if document.get(name) is not None]


def _in_choices(choices: list[Any]) -> ReplyError | None:
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        inner = choice.get("error")
        if inner and not _is_empty(inner):
            return _from_object(inner) if isinstance(inner, dict) else ReplyError(_text(inner)[:LONGEST_MESSAGE])
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and ending_of(reason) == "broken":
            if is_models_fault(reason):
                return ReplyError(f"the model gave no valid call of a tool (finish_reason {reason[:80]})", "tool_use_failed", status=422)
            return ReplyError(f"the endpoint broke the answer off (finish_reason {reason[:80]})", code="server_error", status=500)
    return None


def _from_object(error: Mapping[str, Any]) -> ReplyError:
    inner = error.get("error")
    if inner and isinstance(inner, dict) and not error.get("message"):
        return _from_object(inner)  # a gateway put the whole body under its own name
    code = error.get("code")
    if code is None and type(error.get("error_code")) is int:
        code = error["error_code"]
    status = _status(code) or _status(error.get("status_code")) or _status(error.get("status"))
    # `reason`: Novita, `error_code`: Databricks, `status`: Gemini, `__type`: AWS, with a namespace before "#".
    named = [error.get(name) for name in ("type", "__type", "reason", "error_code", "status")]
    kind = next((name for name in named if name and isinstance(name, str)), None)
    message = next(filter(None, map(error.get, _MESSAGES)), None)
    detail = error.get("innererror") or error.get("metadata")
    text = _text(message or error)
    if isinstance(detail, dict):
        text += _more(detail)
    return ReplyError(
        text[:LONGEST_MESSAGE],
        code=_name(code),
        type=_name(kind if kind is None else kind.rpartition("#")[2]),
        status=status,
        answer=answer if isinstance(answer := error.get("failed_generation"), str) else None,
    )


def _more(detail: Mapping[str, Any]) -> str:
    """Format what Azure (innererror) and OpenRouter (metadata) add to the message."""
    values = [detail.get(name) for name in ("code", "raw", "reasons", "provider_name")]
    texts = [_text(value) for value in values if value]
    return f" ({'; '.join(texts)})" if texts else ""


def _from_text(message: Any, document: Mapping[str, Any]) -> ReplyError:
    kind = document.get("error_type") or document.get("type")
    code = document.get("code")
    status = _status(code) or _status(document.get("status")) or _status(document.get("status_code"))
    return ReplyError(
        _text(message)[:LONGEST_MESSAGE],
        code=_name(code),
        type=_name(kind),
        status=status,
    )


def _detail(detail: Any) -> Any:
    """FastAPI's validation errors as one line: `body.messages: field required`."""
    if not isinstance(detail, list):
        return detail
    lines = []
    for item in detail:
        if isinstance(item, dict) and "msg" in item:
            where = item.get("loc")
            place = ".".join(map(_text, where)) if isinstance(where, list) else ""
            lines.append(f"{place}: {_text(item['msg'])}" if place else _text(item["msg"]))
        else:
            lines.append(_text(item))
    return "; ".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and set(value) == {"detail"} and not isinstance(value["detail"], dict):
        return _text(_detail(value["detail"]))
    try:
        return dump(value).decode()
    except ReplyFormatError:
        return f"({type(value).__name__} that cannot be shown)"


def _name(code: Any) -> str | None:
    """A code or type as text; what is no name at all (an object, a list) is none."""
    return str(code)[:LONGEST_NAME] if isinstance(code, str | int | float) else None


def _status(code: Any) -> int | None:
    """An HTTP status that stands where a code should."""
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == len("404"):
        code = int(code)
    # bool is a subclass of int, and JSON's true is no status.
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else None
