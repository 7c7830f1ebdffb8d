"""Tell a webhook of an event: one POST of JSON, bounded in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def post(url: str, document: Mapping[str, Any], timeout_s: float) -> str | None:
    """POST a document; returns what went wrong, without the URL, which may be a secret; None when it was taken. Blocks."""
    import httpx

    try:
        status = httpx.post(url, json=dict(document), timeout=timeout_s, follow_redirects=False, trust_env=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return type(error).__name__
    return None if 200 <= status < 300 else f"HTTP {status}"
