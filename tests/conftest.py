"""Fixtures for all tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """promptmill runs on asyncio: its HTTP engine does."""
    return "asyncio"
