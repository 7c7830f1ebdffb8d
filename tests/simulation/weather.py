"""What an endpoint does wrong, drawn by chance: each plight is one way in which a reply goes, with what it means for the client."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal

import httpx
import orjson

from tests.simulation.world import EPOCH

Meaning = Literal["answered", "charged", "uncharged", "unready", "failed", "refusing", "stopped"]


@dataclass(frozen=True, slots=True)
class Plight:
    """How one exchange goes.

    `body` is given after `seconds`, in `pieces` pieces that are `gap` seconds apart; `ending` is raised in the end. `status` None means
    that nothing comes: `ending` is raised instead of a reply, or, without one, the client waits. `wait` is what the server asks for, in
    seconds, or, when it is negative, the moment that it names, in seconds since the epoch.
    """

    name: str
    meaning: Meaning
    status: int | None = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.1
    pieces: int = 1
    gap: float = 0.0
    ending: Exception | None = None
    hangs: bool = False
    wait: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Weather:
    """The shares of plights in a session, the windows of time in which nothing is served, and rows that are bad by themselves."""

    faults: dict[str, float] = field(default_factory=dict)
    outages: tuple[tuple[float, float, str], ...] = ()
    slowness: float = 0.5
    lists_models: bool = True


CHARGED = ("500", "502", "reset", "reset_in_body", "cut", "garbage", "null_choices", "empty", "error_in_200", "hang", "silence", "dribble")
STREAM_CHARGED = ("stream_cut", "stream_error", "done_without_finish", "pings")
# Whole answers in a form that cannot be used: the endpoint serves, and each task takes two of them.
WHOLE_BUT_ODD = frozenset({"garbage", "null_choices", "done_without_finish"})
REFUSING = ("429", "429_wait", "503", "503_wait", "429_date", "429_junk")
UNREADY = ("loading", "scaling", "refused", "unresolved")
# From some moment on the whole endpoint refuses, in words that no table knows.
BROKE = ("broke_400", "broke_403", "broke_in_200", "broke_500")
BROKE_WORDS = "the contract has ended"
# What a row may meet each time that it is sent.
OWN = ("500", "cut", "429")
STOPPING = ("401", "402", "quota", "redirect", "tls")
ROW = ("400", "context", "filtered_400", "413")
FINE = ("length", "content_filter", "finish_then_reset")


_SSE = (("content-type", "text/event-stream"),)
_JSON = (("content-type", "application/json"),)
_DONE = b"data: [DONE]\n\n"
_DIED = {"error": {"message": "the engine died", "code": 500}}
_STATUSES: dict[str, tuple[Meaning, int, str, str | None]] = {
    "500": ("charged", 500, "broken", None),
    "502": ("charged", 502, "broken", None),
    "503": ("uncharged", 503, "overloaded", None),
    "429": ("uncharged", 429, "slow down", "rate_limit_exceeded"),
    "loading": ("unready", 503, "Loading model", None),
    "scaling": ("unready", 404, "the deployment is scaling up from zero", None),
    "broke_400": ("refusing", 400, BROKE_WORDS, None),
    "broke_403": ("refusing", 403, BROKE_WORDS, None),
    "broke_500": ("charged", 500, BROKE_WORDS, None),
    "401": ("stopped", 401, "invalid key", "invalid_api_key"),
    "402": ("stopped", 402, "pay first", None),
    "quota": ("stopped", 429, "no money", "insufficient_quota"),
    "redirect": ("stopped", 307, "elsewhere", None),
    "400": ("failed", 400, "bad parameter", None),
    "context": ("failed", 400, "maximum context length", "context_length_exceeded"),
    "filtered_400": ("failed", 400, "filtered", "content_filter"),
    "413": ("failed", 413, "too large", None),
}
KINDS = {"calm": 4, "rough": 6, "storm": 3, "outage": 3, "refusing": 3, "hostile": 2, "lossy": 2, "stopping": 1, "broke": 3}


def draw_weather(chance: random.Random, begin: float, kind: str | None = None) -> Weather:
    """The weather of a session that begins at `begin` seconds; of a drawn kind unless one is given."""
    kind = kind or chance.choices(list(KINDS), list(KINDS.values()))[0]
    faults: dict[str, float] = {}
    outages: tuple[tuple[float, float, str], ...] = ()
    if kind == "rough":
        faults = {name: chance.random() * 0.08 for name in chance.sample(CHARGED + STREAM_CHARGED + REFUSING + ROW + FINE, 8)}
    elif kind == "storm":
        faults = {name: chance.random() * 0.3 for name in chance.sample(CHARGED + STREAM_CHARGED + REFUSING + UNREADY, 4)}
    elif kind == "refusing":
        faults = {name: chance.random() * 0.5 for name in chance.sample(REFUSING, 3)}
    elif kind == "hostile":
        faults = {name: 0.1 + chance.random() * 0.3 for name in chance.sample(CHARGED + STREAM_CHARGED, 2)}
    elif kind == "lossy":
        faults = {chance.choice(CHARGED[:5]): 0.7}
    elif kind == "stopping":
        faults = {chance.choice(STOPPING): 0.05, chance.choice(CHARGED): 0.05}
    elif kind == "outage":
        first = begin + chance.random() * 5
        length = chance.choice((1.0, 10.0, 40.0, 1e9, 1e9))
        outages = ((first, first + length, chance.choice(CHARGED[:3] + UNREADY + ("503", "hang", "429"))),)
        faults = {"500": 0.05, "reset": 0.05}
    elif kind == "broke":
        first = begin + chance.random() * 5
        length = chance.choice((5.0, 30.0, 1e9, 1e9))
        outages = ((first, first + length, chance.choice(BROKE)),)
    return Weather(faults, outages, slowness=chance.choice((0.02, 0.5, 2.0)), lists_models=chance.random() < 0.8)


def plight(name: str, prompt: str, answer: str, chance: random.Random, *, stream: bool, slowness: float, now: float) -> Plight:
    """The plight `name` for one request; "ok" is an answer."""
    seconds = 0.01 + chance.random() * slowness
    made = _reply(name, prompt, answer, chance, stream=stream) or _refusal(name, chance, now) or _wire(name)
    assert made is not None, name
    fields = {"seconds": seconds, **made}
    return Plight(name, **fields)


def _reply(name: str, prompt: str, answer: str, chance: random.Random, *, stream: bool) -> dict | None:
    """Replies with status 200."""
    head = _SSE if stream else _JSON
    whole = _stream(answer, "stop") if stream else _plain(answer, "stop")
    cut = whole[: chance.randrange(1, whole.rfind(b'"finish_reason":"stop"'))]
    broken = httpx.ReadError("Connection reset by peer")
    reset = {"ending": broken} if stream else {}
    labelled = _stream(answer, name) if stream else _plain(answer, name)
    answers = {
        "broke_in_200": {"meaning": "refusing", "body": _error_body(BROKE_WORDS), "headers": _JSON},
        "ok": {"body": whole, "headers": head, "pieces": chance.randint(1, 3)},
        "length": {"body": labelled, "headers": head},
        "content_filter": {"body": labelled, "headers": head},
        "finish_then_reset": {"body": whole.removesuffix(_DONE), "headers": head, **reset},
    }
    if name in answers:
        return {"meaning": "answered", "text": answer, **answers[name]}
    faults = {
        "reset_in_body": {"body": cut, "headers": head, "ending": broken, "pieces": chance.randint(1, 3)},
        "cut": {"body": cut, "headers": head},
        "stream_cut": {"body": cut, "headers": head},
        "garbage": {"body": b"<html><body>Bad gateway</body></html>", "headers": (("content-type", "text/html"),)},
        "empty": {"body": b"", "headers": head},
        "null_choices": {"body": b'{"id":"x","choices":null}'},
        "error_in_200": {"body": orjson.dumps({"error": {"message": "upstream broke", "code": 502}}), "headers": _JSON},
        "stream_error": {"body": _events(_delta(answer[:2], None), _DIED, "[DONE]"), "headers": _SSE},
        "done_without_finish": {"body": _events(_delta(answer[:3], None), "[DONE]"), "headers": _SSE},
        "pings": {"body": b": ping\n\n" * 60, "headers": _SSE, "pieces": 60, "gap": 1.0, "hangs": True},
        "silence": {"body": cut, "headers": head, "hangs": True},
        "dribble": {"body": b" " * 200 + whole, "pieces": 200, "gap": 1.0},
    }
    return {"meaning": "charged", **faults[name]} if name in faults else None


def _error_body(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "code": 400}})


def _refusal(name: str, chance: random.Random, now: float) -> dict | None:
    """Replies with other statuses."""
    if name in _STATUSES:
        meaning, status, message, code = _STATUSES[name]
        headers = (("location", "http://elsewhere/"),) if name == "redirect" else ()
        return {"meaning": meaning, "status": status, "body": _error(message, code), "headers": headers}
    wait = chance.choice((0.3, 1.0, 3.0, 20.0, 130.0, 900.0))
    until = int(now + 1 + wait)
    seconds, milliseconds = ("retry-after", f"{wait}"), ("retry-after-ms", f"{wait * 1000:.0f}")
    waits: dict[str, tuple[float | None, tuple[str, str]]] = {
        "503_wait": (wait, seconds),
        "429_wait": (wait, chance.choice((seconds, milliseconds))),
        "429_date": (-(EPOCH + until), ("retry-after", formatdate(EPOCH + until, usegmt=True))),
        "429_junk": (None, ("retry-after", chance.choice(("soon", "NaN", "-1", "1e30", "inf", "")))),
    }
    if name not in waits:
        return None
    asked, header = waits[name]
    return {"meaning": "uncharged", "status": int(name[:3]), "body": _error("slow down"), "wait": asked, "headers": (header,)}


def _wire(name: str) -> dict | None:
    """No reply at all."""
    match name:
        case "reset":
            return {"meaning": "charged", "status": None, "ending": httpx.ReadError("Connection reset by peer")}
        case "refused":
            return {"meaning": "unready", "status": None, "ending": httpx.ConnectError("All connection attempts failed")}
        case "unresolved":
            return {"meaning": "unready", "status": None, "ending": _unresolved()}
        case "tls":  # a handshake that breaks is waited out once the endpoint has served
            return {"meaning": "unready", "status": None, "ending": _untrusted()}
        case "hang":
            return {"meaning": "charged", "status": None, "hangs": True}
    return None


def _unresolved() -> Exception:
    import socket

    error = httpx.ConnectError("name resolution")
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    return error


def _untrusted() -> Exception:
    import ssl

    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    return error


def _error(message: str, code: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": None, "code": code}})


def _plain(text: str, finish: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return orjson.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def _stream(text: str, finish: str) -> bytes:
    half = len(text) // 2
    return _events(_delta("", None), _delta(text[:half], None), _delta(text[half:], None), _delta(None, finish), "[DONE]")


def _events(*items: dict | str) -> bytes:
    return b"".join(b"data: " + (item.encode() if isinstance(item, str) else orjson.dumps(item)) + b"\n\n" for item in items)


def _delta(text: str | None, finish: str | None) -> dict:
    delta = {} if text is None else {"role": "assistant", "content": text}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
