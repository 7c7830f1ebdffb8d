"""Describes the pages of HTML and XML that gateways put in the place of an API's error, in a few words."""

from __future__ import annotations

import html
import re

LONGEST_TITLE = 200
_CUT = "…"

_HTML_BEGINS = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
# What a text must begin with to be markup though it names no document: pieces of pages, and XML.
_MARKUP = re.compile(r"\s*<(?:\?xml|head|body|title|center|h[1-6]|p|div|pre|error|errorresponse)[\s>]", re.IGNORECASE)
_XML = re.compile(r"\s*<(?:\?xml|error|errorresponse)[\s>]", re.IGNORECASE)
# The first of these that holds words says what the page is.
_TITLES = (
    re.compile(r"<(message)[^>]*>(.{1,2000}?)</message", re.IGNORECASE | re.DOTALL),
    re.compile(r"<(title)[^>]*>(.{1,2000}?)</title", re.IGNORECASE | re.DOTALL),
    re.compile(r"<(h[1-6])[^>]*>(.{1,2000}?)</\1", re.IGNORECASE | re.DOTALL),
)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.IGNORECASE | re.DOTALL)
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_TAG = re.compile(r"<[^>]*(?:>|$)")


def is_page(body: bytes) -> bool:
    """Return whether a body is a page of HTML, or a piece of one, and so no answer of an API."""
    head = body[:1024].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    return _HTML_BEGINS.match(head) is not None or _MARKUP.match(head) is not None


def without_pages(text: str) -> str:
    """Return `text` with a page of HTML or XML in it replaced by what it is and its title: `an HTML page: 502 Bad Gateway`."""
    begin = _HTML_BEGINS.search(text)
    at = begin.start() if begin is not None else 0
    if begin is None and not _MARKUP.match(text):
        return text
    ends = text.lower().find("</html>", at)
    page, rest = (text[at:], "") if ends < 0 else (text[at:ends], text[ends + len("</html>") :])
    return f"{text[:at]}{_in_words(page)}{rest}".strip()


def _in_words(page: str) -> str:
    kind = "an XML document" if _XML.match(page) else "an HTML page"
    shown = _UNSEEN.sub(" ", page)
    titles = (_words(found[2]) for pattern in _TITLES if (found := pattern.search(shown)) is not None)
    title = next(filter(None, titles), "") or _words(shown)
    if len(title) > LONGEST_TITLE:
        title = title[: LONGEST_TITLE - 1] + _CUT
    return f"{kind}: {title}" if title else kind


def _words(markup: str) -> str:
    return _SPACES.sub(" ", html.unescape(_TAG.sub(" ", markup))).strip()
