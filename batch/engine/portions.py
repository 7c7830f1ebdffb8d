"""Rows with files: read several at a time, and handed on in portions of a bounded size: memory is bounded by bytes and not by rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

PORTION_BYTES = 16 << 20
"""Bytes of requests after which a portion ends."""

# Files of a store take their time each; more threads would hold more files that nothing has asked for yet.
THREADS = 4

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield `work(item)` for each item, in order. At most THREADS results are made before they are asked for."""
    if len(items) < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(THREADS, thread_name_prefix="files") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def portions(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Group items, a portion ending as soon as it has PORTION_BYTES."""
    portion: list[T] = []
    size = 0
    for item in items:
        portion.append(item)
        size += size_of(item)
        if size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
