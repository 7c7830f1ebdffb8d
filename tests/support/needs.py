"""Marks for tests that need something beyond promptmill's own dependencies.

Where it is missing the test is skipped, on a developer's machine; with PROMPTMILL_REQUIRE_ALL=1 (as in CI) it fails (tests/conftest.py).
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

NOT_INSTALLED = "not installed: "


def needs_module(*names: str) -> pytest.MarkDecorator:
    """The test needs these Python packages."""
    return _needs([name for name in names if find_spec(name) is None])


def needs_program(*names: str) -> pytest.MarkDecorator:
    """The test needs these programs on the PATH."""
    return _needs([name for name in names if shutil.which(name) is None])


def _needs(missing: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing), reason=NOT_INSTALLED + ", ".join(missing))
