"""Builders of requests that may read the files which rows name."""

from __future__ import annotations

import os.path
from typing import Any

from batch.errors import FileError
from batch.prompts import RequestBuilder
from batch.prompts.current_files import files_of
from batch.prompts.files import RowFiles
from batch.prompts.messages import Maker
from batch.records import InputFile, Row
from batch.settings import Variant
from batch.settings.files import FileSettings
from batch.storage import is_url
from batch.storage.urls import parse
from batch.storage.within import read_within


class InputFolders:
    """Reads files from the folder of the input file that names them, or from the prompt's own."""

    def read(self, row_file: str, path: str, settings: FileSettings) -> bytes:
        """Read the file that a row of `row_file` names. Raises FileError."""
        return read_within(settings.folder or _folder_of(row_file), path, settings.max_file_bytes)


def request_builder(variant: Variant, *, stream: bool) -> RequestBuilder:
    """What makes the requests of a variant. Raises as RequestBuilder."""
    return RequestBuilder(variant, stream, InputFolders())


def with_files(maker: Maker, settings: FileSettings) -> Maker:
    """`maker`, whose templates may read the files of their row."""
    source = InputFolders()

    def made(row: Row) -> Any:
        with files_of(RowFiles(row, settings, source)):
            return maker(row)

    return made


def _folder_of(file: str) -> str:
    if isinstance(file, InputFile) and file.folder is not None:
        return file.folder
    if is_url(file):
        try:
            return str(parse(file).parent)
        except ValueError as error:
            raise FileError("bad_file", str(error)) from error
    return os.path.dirname(file) or "."  # noqa: PTH120 - for each row
