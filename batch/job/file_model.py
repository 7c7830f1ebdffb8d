"""The part of [prompt] that is about files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from batch.job.section import Absent, Section, Text, Whole
from batch.settings.files import FileSettings

_FILES = FileSettings()
Columns = Text | list[Text]


class FilesSection(Section):
    """The files that go with a row's messages."""

    images: Columns = Field(
        default_factory=list,
        description="The column, or a list of them, with pictures that go with the user's last message: paths relative to the input file,"
        " URLs, bytes, {bytes, path}, or lists of these.",
    )
    audio: Columns = Field(default_factory=list, description="The same for sounds.")
    files: Columns = Field(default_factory=list, description="The same for PDFs, pictures and sounds: what each is, its bytes say.")
    detail: Literal["auto", "low", "high", "original"] | Absent = Field(
        default=None, description="How closely the model looks at pictures, where the API has that."
    )
    max_pixels: Whole | Absent = Field(
        default=None, description="Pictures with more pixels are shrunk before they are sent; needs promptmill[files]."
    )
    max_file_bytes: Whole = Field(default=_FILES.max_file_bytes, description="A larger file makes its row an error.")
    files_dir: Text | Absent = Field(
        default=None,
        description="The folder, on this machine or on a store, that rows' paths are relative to and must lead into."
        "  [default: the folder of the input file]",
    )
