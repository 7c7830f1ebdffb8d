"""The live page of a run, served for a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch.app.view import view_server


@contextmanager
def served(place: Path) -> Iterator[str]:
    """The address of the page of a run, which is served until the end of the body."""
    server = view_server(str(place))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.address
    finally:
        server.close()
        thread.join()
