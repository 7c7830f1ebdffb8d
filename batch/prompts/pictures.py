"""Shrink pictures, by Pillow, which is an extra."""

from __future__ import annotations

import importlib.util
import io
import math
from typing import Any

from batch.errors import SetupError
from batch.prompts.kinds import FileKind, kind_of

# What is written for a kind; pictures of others become PNG, which keeps all that they have.
_WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {"jpeg": ("JPEG", {"quality": 90}), "webp": ("WEBP", {"quality": 90})}
_PNG: tuple[str, dict[str, Any]] = ("PNG", {})
_PLAIN_MODES = {"JPEG": ("RGB", "L"), "WEBP": ("RGB", "RGBA"), "PNG": ("RGB", "RGBA", "L", "LA")}
# How a picture is turned for its EXIF orientation (CIPA DC-008, tag 0x0112): Pillow's Transpose by number, so that Pillow loads late.
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_CONVERTED = frozenset({"bmp", "tiff"})


def check_pillow() -> None:
    """Check that Pillow is installed. Raises SetupError."""
    if importlib.util.find_spec("PIL") is None:
        raise SetupError("max_pixels needs Pillow: pip install 'promptmill[files]'")


def shrunk(raw: bytes, kind: FileKind, max_pixels: int) -> tuple[bytes, FileKind]:
    """A picture of at most `max_pixels` pixels, upright; what is small enough stays as it is, but for BMP and TIFF, which become PNG.

    Raises:
        ValueError: it cannot be read as a picture; in words.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw)) as opened:
            width, height = opened.size
            if width * height <= max_pixels and kind.name not in _CONVERTED:
                return raw, kind
            size = _fitting(width, height, max_pixels)
            # A JPEG is decoded at a half, a quarter or an eighth where that is enough.
            opened.draft(None, size)
            name, options = _WRITTEN.get(kind.name, _PNG)
            picture: Image.Image = opened
            if opened.mode not in _PLAIN_MODES[name]:
                has_alpha = "A" in opened.getbands() or "transparency" in opened.info
                picture = opened.convert("RGBA" if has_alpha and name != "JPEG" else "RGB")
            made = picture.resize(size, Image.Resampling.LANCZOS)
            # What is written has no EXIF any more: it must stand upright by itself.
            if (turn := _TURNS.get(opened.getexif().get(_ORIENTATION, 1))) is not None:
                made = made.transpose(Image.Transpose(turn))
            written = io.BytesIO()
            made.save(written, name, **options)
    except Exception as error:
        raise ValueError(f"cannot be read as a picture: {error}") from error
    made_raw = written.getvalue()
    return made_raw, kind_of(made_raw)


def _fitting(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The sides of a picture of the same shape with at most `max_pixels` pixels; a line of one pixel is cut shorter still."""
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    wide, high = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    return min(wide, max_pixels // high), min(high, max_pixels // wide)
