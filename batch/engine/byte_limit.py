"""Bounds the bytes of requests in flight: each is in memory until its answer has come, and one with pictures has megabytes."""

from __future__ import annotations

_MIB = 1 << 20


class ByteLimit:
    """Counts the bytes of one pool's requests in flight; at most `most` at a time, but always one request."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._largest = 0
        self._is_reported = False
        self.is_full = False

    def has_room(self, size: int) -> bool:
        """Return whether a request of `size` bytes may leave now."""
        self.is_full = self._bytes > 0 and self._bytes + size > self._most
        self._largest = max(self._largest, size)
        return not self.is_full

    def sent(self, size: int) -> None:
        """Count a request that leaves."""
        self._bytes += size

    def ended(self, size: int) -> None:
        """Take back the bytes of a request that has ended."""
        self._bytes -= size

    def notice(self) -> str | None:
        """Return a sentence the first time that it keeps requests from leaving."""
        if self._is_reported or not self.is_full:
            return None
        self._is_reported = True
        return (
            f"requests of up to {self._largest / _MIB:,.1f} MiB are large: only as many are in flight as fit into"
            f" {self._most / _MIB:,.0f} MiB (run.max_bytes_in_flight)"
        )
