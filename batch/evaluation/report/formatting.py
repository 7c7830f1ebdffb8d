"""Format figures and tables for the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from batch.evaluation.formatting import unbroken
from batch.evaluation.report.markup import Content, Markup, tag
from batch.records import Reply, Request
from batch.writers.values import json_bytes

UNKNOWN = "unknown"
# Before a number and after nothing that it could join: "[-0.6", " -3", never "gpt-4" or "2024-08".
_HYPHEN = re.compile(r"(?<![^\s\[(])-(?=\d)")


def seconds(value: float | None) -> str:
    """Format a time span: 0.034 → "34 ms", 4.21 → "4.2 s", 250 → "250 s"."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{1000 * value:z.0f} ms"
    return f"{value:z.1f} s" if value < 99.95 else f"{value:z,.0f} s"


def p_value(p: float) -> str:
    """Format a p value: three digits, or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:z.3f}"


def typeset(text: str) -> str:
    """Set true minus signs, as wide as the plus, and keep each number with its sign and unit on one line."""
    return _HYPHEN.sub("\N{MINUS SIGN}", unbroken(text))


def table(caption: str, head: Sequence[Content], rows: Sequence[Sequence[Content]], *, class_: str | None = None) -> Markup:
    """Make a table that scrolls inside its own box. The first cell of each row is its heading."""
    heading = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head]))
    body = tag("tbody", [tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]) for first, *rest in rows])
    whole = tag("table", tag("caption", caption, class_="unseen"), heading, body, class_=class_)
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def known_columns(head: Sequence[Content], rows: Sequence[Sequence[Content]]) -> tuple[list[Content], list[list[Content]]]:
    """Drop the columns that hold nothing but unknown values or dashes; return head and rows."""
    kept = [at for at in range(len(head)) if not rows or any(row[at] not in {UNKNOWN, "–"} for row in rows)]
    return [head[at] for at in kept], [[row[at] for at in kept] for row in rows]


def with_help(text: str, explanation: str) -> Markup:
    """Return a column's name with its explanation as tooltip."""
    return tag("abbr", text, title=explanation)


def column_help(head: Sequence[Content]) -> Markup:
    """Explain the columns of a table in a list that opens on demand: for touch screens, where there are no tooltips, and for print."""
    known = [match for cell in head if (match := _HELP.search(str(cell))) is not None]
    items = [(tag("dt", Markup(match[2])), tag("dd", Markup(match[1]))) for match in known]
    return (
        tag("details", tag("summary", "What the columns mean"), tag("dl", items, class_="facts"), class_="columns") if items else Markup()
    )


_HELP = re.compile(r'<abbr title="([^"]*)">(.*?)</abbr>')

LONGEST = 20_000
SHORTEST = 500
TEXT_BUDGET = 100_000_000
"""How many characters of answers fit into a page of about 40 MB: text packs to about a third, and base64 makes four bytes of three."""

PREVIEW = 140

SentMessage = tuple[str, str]
"""Role and text. The role is empty for a prompt that is no chat."""


def longest_text(stored_bytes: int, tasks: int) -> int:
    """Return how many characters of a text to keep; fewer where all texts together would make the page too large to open."""
    if stored_bytes <= TEXT_BUDGET:
        return LONGEST
    return max(SHORTEST, min(LONGEST, TEXT_BUDGET // max(1, tasks)))


def cut(text: str, longest: int) -> str:
    """Return `text`, or its beginning with a note on how much is omitted."""
    return text if len(text) <= longest else f"{text[:longest]}\n… ({len(text) - longest:,} more characters)"


def sent_prompt(request: Request, longest: int) -> list[SentMessage]:
    """Format the prompt of a request as it is sent: messages, a text, and tools."""
    body = orjson.loads(request.body)
    # Requests of batch files are sent as they are, whatever their messages look like.
    messages = body["messages"] if isinstance(body.get("messages"), list) else []
    if system := body.get("system") or body.get("instructions"):
        # The Messages and Responses APIs have it beside the messages.
        messages = [{"role": "system", "content": system}, *messages]
    if isinstance(given := body.get("input"), list) and all(isinstance(item, Mapping) for item in given):
        # The Responses API has its messages as items.
        messages = [*messages, *body.pop("input")]
    said = [
        (str(message.get("role") or message.get("type") or ""), _message(message)) for message in messages if isinstance(message, Mapping)
    ]
    said += [("", _content(body[name])) for name in ("prompt", "input") if name in body]
    if "tools" in body:
        said.append(("tools", pretty(body["tools"])))
    return [(role, cut(text, longest)) for role, text in said]


def _message(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    if "role" not in message:
        # A call of a tool, or its result, among the items of the Responses API.
        return pretty({key: value for key, value in message.items() if key != "type"})
    parts = [_content(message.get("content")), pretty(calls) if calls else ""]
    return "\n".join(part for part in parts if part)


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "\n".join(map(_part, content))
    return pretty(content)


def _part(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    source = part.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("data"), str):
        return f"[{part.get('type')}: {source.get('media_type')}, {len(source['data']):,} characters]"
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(url, str):
        kind, comma, data = url.partition(",")
        return (
            f"[image: {kind.removeprefix('data:')}, {len(data):,} characters]" if url.startswith("data:") and comma else f"[image: {url}]"
        )
    return pretty(part)


def answer_text(reply: Reply) -> str | None:
    """Format the answer; an embedding is described by its length."""
    return f"[embedding of {len(reply.embedding):,} numbers]" if reply.embedding is not None else reply.text


def pretty(value: Any) -> str:
    """Format JSON with indentation."""
    return orjson.dumps(orjson.loads(json_bytes(value)), option=orjson.OPT_INDENT_2).decode()


def preview(prompt: list[SentMessage]) -> str:
    """Return the beginning of the row's question: its last user message."""
    asked = [text for role, text in prompt if role in {"user", ""}] or [text for _, text in prompt]
    return " ".join(asked[-1].split())[:PREVIEW] if asked else ""
