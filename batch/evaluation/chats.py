"""Answers with what they answer, as training data: OpenAI's {messages} lines, and ShareGPT's {conversations}.

Sources: https://platform.openai.com/docs/guides/supervised-fine-tuning (messages, tools); ShareGPT as LLaMA-Factory and Axolotl read it
(data/README.md of LLaMA-Factory: from, value, system, tools, images).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson

from batch.errors import RowError
from batch.evaluation.parquet import ScoresReader
from batch.evaluation.score_conditions import ScoreCondition
from batch.providers.replies import ReplyFormatError, read_reply
from batch.readers.builders import request_builder
from batch.records import CHATS, Api, BadRow, Outcome, Reply, Row
from batch.results.join import Result
from batch.settings import Job, Variant
from batch.storage import replace_atomically
from batch.writers.values import json_bytes

ChatFormat = Literal["chat", "sharegpt"]
_SPEAKERS = {
    "user": "human",
    "assistant": "gpt",
    "system": "system",
    "developer": "system",
    "tool": "observation",
    "function": "observation",
}
_CUT = frozenset({"length", "content_filter"})
_CHAT: Api = "chat/completions"
_TRANSLATED = CHATS - {_CHAT}


@dataclass(slots=True)
class WrittenChats:
    """What was written: the `paths`, how many `lines`, and how many answers were `omitted`, by reason."""

    paths: list[Path | str] = field(default_factory=list)
    lines: int = 0
    omitted: Counter[str] = field(default_factory=Counter)


def write_chats(
    results: Iterable[Result],
    job: Job,
    form: ChatFormat,
    folder: Path,
    conditions: Sequence[tuple[ScoreCondition, ScoresReader]],
) -> WrittenChats:
    """Write each answer for which all conditions hold as a line of its variant's file; each file replaces its old one whole.

    Omitted are failures, answers that were cut off or filtered, and those whose row reads otherwise now.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
        StorageError: the disk refuses.
    """
    written = WrittenChats()
    requests = {variant.name: _Requests(variant) for variant in job.variants}
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for variant in job.variants:
            path = _path(folder, form, variant, alone=len(job.variants) == 1)
            files[variant.name] = stack.enter_context(replace_atomically(path))
            written.paths.append(path)
        for result in results:
            place = (result.row.ordinal, result.variant.name, result.repeat)
            # Each reader takes its values in the order of the tasks, so none may be passed over.
            values = [(condition, reader.take(*place)) for condition, reader in conditions]
            if result.outcome is None:
                continue
            chosen = all(condition.holds(None if found is None else found.value) for condition, found in values)
            line, reason = _line(result, result.outcome, requests[result.variant.name], form) if chosen else (None, "of another score")
            if line is None:
                written.omitted[reason] += 1
            else:
                files[result.variant.name].write(json_bytes(line) + b"\n")
                written.lines += 1
    return written


class _Requests:
    """Makes the requests of a variant again, and the chats from which those of the Messages and Responses APIs are translated."""

    def __init__(self, variant: Variant) -> None:
        prompt = variant.prompt
        self._sent = self._chats = request_builder(variant, stream=False)
        if prompt.api in _TRANSLATED and not prompt.stored:
            self._chats = request_builder(replace(variant, prompt=replace(prompt, api=_CHAT)), stream=False)

    def body(self, row: Row, key: bytes) -> dict[str, Any] | None:
        """The body as a chat, or as it was sent where no chat can hold it; None if the row's request has another key. Raises RowError."""
        request = self._sent.build(row)
        if request.key != key:
            return None
        if self._chats is not self._sent:
            # A document may have no place in a chat.
            with suppress(RowError):
                request = self._chats.build(row)
        body: dict[str, Any] = orjson.loads(request.body)
        return body


def _path(folder: Path, form: ChatFormat, variant: Variant, *, alone: bool) -> Path:
    return folder / (f"{form}.jsonl" if alone else f"{form}.{variant.slug}.jsonl")


def _line(result: Result, outcome: Outcome, requests: _Requests, form: ChatFormat) -> tuple[dict[str, Any] | None, str]:
    """The line of an answer; None and the reason where there is none."""
    if outcome.error is not None or outcome.response is None:
        return None, "failed"
    if outcome.finish_reason in _CUT:
        return None, "cut off or filtered"
    try:
        reply = read_reply(outcome.api or result.variant.prompt.api, outcome.response)
        body = None if isinstance(result.row, BadRow) else requests.body(result.row, outcome.key)
    except (ReplyFormatError, RowError):
        body = None
    if body is None:
        return None, "of rows that read otherwise now"
    if reply.embedding is not None or (reply.text is None and not reply.tool_calls):
        return None, "without a text"
    messages = [*_asked(body), _answer(reply)]
    if form == "chat":
        return {"messages": messages, **({"tools": body["tools"]} if "tools" in body else {})}, ""
    return _shared(messages, body.get("tools"), result), ""


def _asked(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request; a text to complete is the user's, and instructions beside the messages are the system's."""
    instructions = body.get("system") or body.get("instructions")
    begun = [{"role": "system", "content": instructions}] if isinstance(instructions, str | list) else []
    if isinstance(messages := body.get("messages"), list):
        return [*begun, *(message for message in messages if isinstance(message, dict))]
    given = body.get("input", body.get("prompt"))
    if isinstance(given, list) and all(isinstance(each, dict) for each in given):
        return [*begun, *({"role": each["role"], "content": _chat_content(each.get("content"))} for each in given if "role" in each)]
    return [*begun, {"role": "user", "content": given if isinstance(given, str) else orjson.dumps(given).decode()}]


def _chat_content(content: Any) -> Any:
    """The content of a Responses message, in a chat's parts."""
    if not isinstance(content, list):
        return content
    parts: list[Any] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_text", "output_text"):
            parts.append({"type": "text", "text": part.get("text")})
        elif kind == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part.get("image_url")}})
        else:
            parts.append(part)
    return parts


def _answer(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    return {**message, "tool_calls": reply.tool_calls} if reply.tool_calls else message


def _shared(messages: Sequence[Mapping[str, Any]], tools: Any, result: Result) -> dict[str, Any]:
    """A ShareGPT line. Pictures are named <image> in the text, and listed."""
    turns: list[dict[str, str]] = []
    images: list[str] = []
    for message in messages:
        text = _text(message.get("content"), images)
        if text or not message.get("tool_calls"):
            turns.append({"from": _SPEAKERS.get(str(message.get("role")), "human"), "value": text})
        calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
        turns += [{"from": "function_call", "value": orjson.dumps(call).decode()} for call in calls]
    line: dict[str, Any] = {"id": result.row.id, "conversations": turns}
    if tools:
        line["tools"] = orjson.dumps(tools).decode()
    return {**line, "images": images} if images else line


def _text(content: Any, images: list[str]) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return orjson.dumps(content).decode()
    texts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and part.get("type") == "image_url":
            image = part.get("image_url")
            images.append(str(image.get("url") if isinstance(image, dict) else image))
            texts.append("<image>")
    return "\n".join(texts)
