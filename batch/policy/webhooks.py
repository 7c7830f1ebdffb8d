"""Whether a webhook is from whom it says: the signatures of the Standard Webhooks specification, as OpenAI signs its events. Pure.

Source: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`: HMAC-SHA256 over "ID.TIMESTAMP.BODY" with the secret after
"whsec_" in base64; the header has one or several signatures "v1,BASE64", divided by spaces. Others' kinds ("v1a") are not read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256

TOLERANCE_S = 300.0
"""A message that is older or newer than this is not taken: one that was caught on its way cannot be sent again later."""
_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """Return the key of a secret, "whsec_…" or plain base64. Raises ValueError."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is not base64: {error}") from None
    if not key:
        raise ValueError("it is empty")
    return key


def is_signed(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a message has a signature by this key, of about `now` (seconds since the epoch). Header names are lower-case."""
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or not (moment.isascii() and moment.isdecimal()) or abs(now - int(moment[:20])) > TOLERANCE_S:
        return False
    right = hmac.new(key, f"{name}.{moment}.".encode("utf-8", "surrogateescape") + body, sha256).digest()
    given = [each.removeprefix("v1,") for each in headers.get("webhook-signature", "").split() if each.startswith("v1,")]
    return any(hmac.compare_digest(_decoded(each), right) for each in given)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
