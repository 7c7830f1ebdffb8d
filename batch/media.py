"""What a request holds beside its text."""

from __future__ import annotations

from batch.record_class import record_class


@record_class(frozen=True, slots=True)
class Media:
    """The pictures, sounds and other files in a request, and the bytes of its body that they take; `picture_bytes` are the pictures'."""

    pictures: int
    sounds: int
    files: int
    bytes: int
    picture_bytes: int
