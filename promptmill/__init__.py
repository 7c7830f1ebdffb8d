"""The package `batch` under the name of its distribution: `promptmill.run` is `batch.run`, and so are all names of it.

It has no modules of its own: `batch.errors` and others are imported by that name, so that nothing is loaded twice.
"""

from __future__ import annotations

from typing import Any

import batch


def __getattr__(name: str) -> Any:
    return getattr(batch, name)


def __dir__() -> list[str]:
    return dir(batch)
