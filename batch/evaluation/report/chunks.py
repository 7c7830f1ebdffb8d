"""Pack data into the page: gzip in base64, in script elements that no browser runs. The page's own script unpacks them on demand."""

from __future__ import annotations

import base64
import gzip
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
"""About how many bytes of lines are packed together: few enough to be unpacked while an arrow key repeats."""

DATA_TYPE = "application/x-gzip-base64"
_LEVEL = 9


def data_element(name: str, data: bytes) -> bytes:
    """Wrap `data` in a script element, in base64, which has no character with a meaning in HTML. Equal data make equal elements."""
    packed = base64.b64encode(gzip.compress(data, _LEVEL, mtime=0))
    return b'<script type="%s" id="%s">%s</script>\n' % (DATA_TYPE.encode(), name.encode(), packed)


class ChunkWriter:
    """Writes lines as elements "texts-0", "texts-1", … to a file. `starts` are the numbers of the chunks' first lines."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._lines = 0
        self.starts: list[int] = []

    def add(self, line: bytes) -> None:
        """Add a line, which has no line break in it."""
        if not self._pending:
            self.starts.append(self._lines)
        self._pending.append(line)
        self._pending_bytes += len(line)
        self._lines += 1
        if self._pending_bytes >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._pending:
            self._file.write(data_element(f"texts-{len(self.starts) - 1}", b"\n".join(self._pending)))
            self._pending, self._pending_bytes = [], 0
