"""Rows and values of a Python program as plain ones: what has a way of its own to say what it holds, without an import of its library.

numpy's scalars and arrays, pandas' missing values, pictures of Pillow (as Hugging Face's {bytes, path}), dataclasses, named tuples and
pydantic models.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

_MISSING = frozenset({"NAType", "NaTType"})


def row_of(row: Any) -> Mapping[Any, Any] | None:
    """Return the columns of a row: of a mapping, dataclass, named tuple or pydantic model; None for what is no row."""
    if isinstance(row, Mapping):
        return row
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    if isinstance(row, tuple) and hasattr(row, "_asdict"):
        return dict(row._asdict())
    dumped = row.model_dump() if hasattr(type(row), "model_fields") else None
    return dumped if isinstance(dumped, Mapping) else None


def plain(value: Any) -> Any:
    """Return a value as Python's own where it is one of numpy, pandas or Pillow; any other as it is, and what is within likewise."""
    kind = type(value)
    if kind in (str, int, float, bool, bytes, type(None)):
        return value
    if kind in (list, tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    home = kind.__module__.partition(".")[0]
    if home == "numpy":
        return _of_numpy(value)
    if home == "pandas":
        return None if kind.__name__ in _MISSING else value
    return _picture(value) if home == "PIL" and hasattr(value, "save") else value


def _of_numpy(value: Any) -> Any:
    if hasattr(value, "tolist") and value.ndim > 0:
        return plain(value.tolist())
    if type(value).__name__ in ("datetime64", "timedelta64"):
        # Python's own have microseconds; of nanoseconds `item` makes a bare number.
        return value.astype(f"{type(value).__name__}[us]").item()
    return plain(value.item()) if hasattr(value, "item") else value


def _picture(value: Any) -> dict[str, Any]:
    written = io.BytesIO()
    # Without loss, where it was not read from a file of its own form.
    value.save(written, getattr(value, "format", None) or "PNG")
    return {"bytes": written.getvalue(), "path": getattr(value, "filename", None) or None}
