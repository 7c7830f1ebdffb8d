"""Check that what an Arrow file holds is what its types say, before a value is read: Arrow itself trusts the file.

A damaged offset or index would be followed out of the buffer, and the process would end by SIGSEGV. A value that its type does not allow
(text that is not UTF-8, a date of half a day) is no damage: it is read as what it is (values.py). https://arrow.apache.org/docs/format/Security.html
"""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types

from batch.errors import InputError
from batch.readers.values import rebuilt


def check_sound(path: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return `batch`, whose every length, offset and index is checked. Raises InputError."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowException as error:
            if not _is_sound_in_memory(column):
                raise InputError(f"{path}: is damaged: the column {name!r}: {error}; write or fetch the file again") from error
    return batch


def _is_sound_in_memory(column: pa.Array) -> bool:
    try:
        _bare(column).validate(full=True)
    except (pa.ArrowException, NotImplementedError, ValueError, TypeError):
        return False
    return True


def _bare(column: pa.Array) -> pa.Array:
    """Return the same buffers with types whose every value is allowed: bytes in place of text, numbers in place of times."""
    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(column.indices, _bare(column.dictionary))
    if isinstance(column, pa.ExtensionArray):
        return _bare(column.storage)
    return column.view(_bare_type(column.type))


def _bare_type(kind: pa.DataType) -> pa.DataType:
    if types.is_string(kind):
        return pa.binary()
    if types.is_large_string(kind):
        return pa.large_binary()
    if types.is_string_view(kind):
        return pa.binary_view()
    if types.is_decimal(kind):
        return pa.binary(kind.byte_width)
    if types.is_temporal(kind) and not types.is_interval(kind):
        return pa.int64() if kind.bit_width == 64 else pa.int32()
    return rebuilt(kind, _bare_type)
