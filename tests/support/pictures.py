"""Pictures, sounds and other files made for tests, and an endpoint that says which it got."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import wave
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from tests.support.scripted import Action, Received, chat_reply


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (24, 16)) -> bytes:
    """A picture of noise: another one for each seed."""
    made = Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))
    written = io.BytesIO()
    made.save(written, kind)
    return written.getvalue()


def sound(seed: int = 0, samples: int = 200) -> bytes:
    """A WAV file of noise."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(random.Random(seed).randbytes(2 * samples))
    return written.getvalue()


PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
MP3 = b"\xff\xf3\x90\x00" + bytes(413)


def sha(raw: bytes) -> str:
    """What names a file in the answers of `hashing`."""
    return hashlib.sha256(raw).hexdigest()


def parts_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All parts of all messages, texts included."""
    for message in body.get("messages", body.get("input", ())):
        if isinstance(message["content"], list):
            yield from message["content"]


def file_of(part: dict[str, Any]) -> bytes | str | None:
    """The bytes that a part of a chat holds, or its URL; None for a text."""
    if "image_url" in part:
        url = part["image_url"] if isinstance(part["image_url"], str) else part["image_url"]["url"]
        return base64.b64decode(url.partition(",")[2]) if url.startswith("data:") else url
    if "input_audio" in part:
        return base64.b64decode(part["input_audio"]["data"])
    data = part.get("file", part).get("file_data")
    return None if data is None else base64.b64decode(data.partition(",")[2])


def files_of(body: dict[str, Any]) -> list[str]:
    """The hashes of all files in a request, and the URLs, in their order."""
    files = [file_of(part) for part in parts_of(body)]
    return [sha(file) if isinstance(file, bytes) else file for file in files if file is not None]


def hashing(received: Received) -> Iterable[Action]:
    """Answer with the hashes of the files that came."""
    return [chat_reply(" ".join(files_of(received.json())))]
