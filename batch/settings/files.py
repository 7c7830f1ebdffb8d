"""The settings of the files that go with a row's messages, frozen as those of settings.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """The files that go with a row's messages.

    `images`, `audio` and `files` are the columns that hold or name them. `detail` goes with each picture; pictures of more than
    `max_pixels` are shrunk. `folder` is the one that paths are relative to and lead into; None: the input file's own.
    """

    images: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    detail: str | None = None
    max_pixels: int | None = None
    max_file_bytes: int = 20 * 1024 * 1024
    folder: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are named."""
        return (*self.images, *self.audio, *self.files)
