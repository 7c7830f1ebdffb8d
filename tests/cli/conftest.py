"""What several commands are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scripted import ScriptedEndpoint


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """An endpoint that answers everything."""
    with ScriptedEndpoint() as endpoint:
        yield endpoint
