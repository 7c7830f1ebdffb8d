"""Send rows with the same beginning one after the other, and to the same endpoint of a pool: servers then reuse what they computed for it.

vLLM, SGLang and llama.cpp keep the beginnings of recent prompts for as long as there is room. Rows are put into order within windows of
the input, so that memory does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from batch.engine.work import PooledEndpoint, Work

WINDOW_ROWS = 8192
WINDOW_BYTES = 32 << 20
_PORTION = 256
# Beginnings are compared in steps of this: a shorter one that is shared saves nothing.
_STEP = 256

T = TypeVar("T")


def in_prefix_order(batches: Iterable[Sequence[Work | T]]) -> Iterator[list[Work | T]]:
    """Yield what `batches` do, the requests of each window sorted by their bodies. A batch that is empty is passed on as it is."""
    window: list[Work] = []
    size = 0
    for batch in batches:
        others: list[Work | T] = []
        for item in batch:
            if isinstance(item, Work):
                window.append(item)
                size += len(item.task.request.body)
            else:
                others.append(item)
        # Also an empty one: it lets the caller do other work while many finished rows pass.
        yield others
        if len(window) >= WINDOW_ROWS or size >= WINDOW_BYTES:
            yield from _sorted(window)
            window, size = [], 0
    yield from _sorted(window)


def _sorted(window: list[Work]) -> Iterator[list[Any]]:
    window.sort(key=lambda work: (work.task.variant, work.task.request.body))
    for start in range(0, len(window), _PORTION):
        yield [*window[start : start + _PORTION]]


class PrefixAffinity:
    """Remembers what each endpoint was sent last, to send it what begins in the same way."""

    def __init__(self) -> None:
        self._last: dict[int, bytes] = {}

    def sent(self, endpoint: PooledEndpoint, body: bytes) -> None:
        """Remember a request that left for `endpoint`."""
        self._last[id(endpoint)] = body

    def shared_by(self, body: bytes) -> Callable[[PooledEndpoint], int]:
        """Return what says of an endpoint how much of `body` it was sent last, as a beginning, in steps of 256 bytes."""
        return lambda endpoint: self._shared(endpoint, body)

    def _shared(self, endpoint: PooledEndpoint, body: bytes) -> int:
        last = self._last.get(id(endpoint), b"")
        low, high = 0, min(len(last), len(body)) // _STEP
        while low < high:
            middle = (low + high + 1) // 2
            if last[: middle * _STEP] == body[: middle * _STEP]:
                low = middle
            else:
                high = middle - 1
        return low
