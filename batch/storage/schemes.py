"""Which addresses fsspec reads."""

from __future__ import annotations

import difflib

_INSTALL = "pip install 'promptmill[fsspec]'"


def check_scheme(scheme: str) -> None:
    """Check that fsspec is installed and knows `scheme`. Raises ValueError, which says what to do."""
    try:
        import fsspec
    except ImportError:
        raise ValueError(
            f"{scheme}:// is not read; object stores are s3:// and gs://, and with fsspec many others: {_INSTALL}, or copy it here first"
        ) from None
    known = fsspec.available_protocols()
    if scheme not in known:
        near = difflib.get_close_matches(scheme, known, n=1)
        hint = f"did you mean {near[0]}://?" if near else "copy it here, or to a store of another kind, first"
        raise ValueError(f"{scheme}:// is not read, neither by promptmill nor by fsspec ({hint})")
