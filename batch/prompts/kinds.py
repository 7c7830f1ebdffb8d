"""What a file is, by its bytes and never by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["image", "audio", "document"]

_HEAD_BYTES = 4096
# MPEG layer III without an ID3 tag in its low sampling rates (ISO/IEC 13818-3), which puremagic 1.30 does not know.
_MPEG_FRAMES = (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file: its MIME type, and `name`, which is an audio part's `format`, the ending of a document, and for messages."""

    family: Family
    mime: str
    name: str


_KINDS = {
    kind.name: kind
    for kind in (
        FileKind("image", "image/png", "png"),
        FileKind("image", "image/jpeg", "jpeg"),
        FileKind("image", "image/gif", "gif"),
        FileKind("image", "image/webp", "webp"),
        FileKind("image", "image/bmp", "bmp"),
        FileKind("image", "image/tiff", "tiff"),
        FileKind("image", "image/avif", "avif"),
        FileKind("image", "image/heif", "heic"),
        FileKind("image", "image/svg+xml", "svg"),
        FileKind("audio", "audio/wav", "wav"),
        FileKind("audio", "audio/mpeg", "mp3"),
        FileKind("audio", "audio/flac", "flac"),
        FileKind("audio", "audio/ogg", "ogg"),
        FileKind("audio", "audio/mp4", "m4a"),
        FileKind("audio", "audio/aiff", "aiff"),
        FileKind("audio", "audio/aac", "aac"),
        FileKind("document", "application/pdf", "pdf"),
        FileKind("document", "text/plain", "txt"),
        FileKind("document", "application/octet-stream", "bin"),
    )
}
# puremagic's endings of the same kinds.
_TEXTUAL = ("pdf", "svg")
_ENDINGS = {"jpg": "jpeg", "jfif": "jpeg", "jpe": "jpeg", "tif": "tiff", "heif": "heic", "dib": "bmp", "f4a": "m4a", "mpga": "mp3"}
_ENDINGS |= {"oga": "ogg", "opus": "ogg", "ogv": "ogg", "aif": "aiff", "aifc": "aiff"}
_OTHERS = {"mp4": "an MP4 video", "zip": "a ZIP archive", "docx": "a ZIP archive or an Office document", "html": "HTML", "mkv": "Matroska"}


def kind_of(raw: bytes) -> FileKind:
    """The kind of a file; application/octet-stream for what is neither known nor text in UTF-8."""
    names = [name for name in _candidates(raw) if name in _KINDS]
    if is_text(raw):
        # A text that begins "BM" is no bitmap. PDF and SVG may be text.
        return next((_KINDS[name] for name in names if name in _TEXTUAL), _KINDS["txt"])
    # An AVIF picture is an MP4 file by its first brand.
    best = next((name for name in names if _KINDS[name].family == "image"), None) or next(iter(names), None)
    if best is None and raw.startswith(_MPEG_FRAMES):
        best = "mp3"
    return _KINDS[best or "bin"]


def kind_in_words(raw: bytes) -> str:
    """What a file seems to be, for messages."""
    kind = kind_of(raw)
    if kind.name == "bin":
        guess = next(iter(_candidates(raw)), None)
        return "of an unknown kind" if guess is None else _OTHERS.get(guess, guess.upper())
    return "text" if kind.name == "txt" else kind.name.upper()


def is_text(raw: bytes) -> bool:
    """Whether `raw` is text in UTF-8, without null bytes."""
    if b"\0" in raw[:_HEAD_BYTES]:
        return False
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _candidates(raw: bytes) -> list[str]:
    """The endings, without dots, of what the first bytes most likely are."""
    import puremagic

    head = raw[:_HEAD_BYTES]
    try:
        found = puremagic.magic_string(head)
    except Exception:  # noqa: BLE001 - it raises for what it does not know, and whatever its parsers of odd heads raise
        return []
    endings = [match.extension.lstrip(".").lower() for match in found if match.extension and match.confidence >= found[0].confidence]
    return [_ENDINGS.get(ending, ending) for ending in endings]
