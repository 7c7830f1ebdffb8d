"""Parts of handlers for scripted endpoints: which row it is, how often it came, waiting for others."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.support.scripted import PATIENCE_S, Action, Handler, Received, ScriptedEndpoint, Sleep, answer, error


def after(seconds: float) -> Handler:
    """Rows are answered after a while."""
    return for_rows(lambda received: [Sleep(seconds), *answer(received)])


def row_number(received: Received) -> int:
    """The row of a JobFolder's question."""
    return int(received.prompt.split()[-1])


def for_rows(handler: Handler) -> Handler:
    """`handler` for rows; the list of models is given as it should be."""

    def handle(received: Received) -> Iterable[Action]:
        return handler(received) if received.body else answer(received)

    return handle


def refuse_every_third(received: Received) -> Iterable[Action]:
    """Rows r0, r3, r6, … have a prompt that is too long."""
    if received.body and row_number(received) % 3 == 0:
        return [error(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})]
    return answer(received)


class Tries:
    """Counts how often each row came: `of` gives 1 for its first attempt."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def of(self, received: Received) -> int:
        """Which attempt of its row this is."""
        self._counts[received.prompt] += 1
        return self._counts[received.prompt]


def first_attempts(faults: dict[int, Sequence[Action]]) -> Handler:
    """Rows whose first attempt meets these actions; all else is answered."""
    tries = Tries()

    def handler(received: Received) -> Iterable[Action]:
        fault = faults.get(row_number(received))
        return fault if tries.of(received) == 1 and fault is not None else answer(received)

    return for_rows(handler)


def until(condition: Callable[[], bool]) -> Iterator[Action]:
    """Keep the request waiting until `condition` holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what the endpoint waits for did not come"
        yield Sleep(0.005)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what is waited for did not come"
        time.sleep(0.01)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until `condition` holds; the process must be alive until then."""

    def holds() -> object:
        met = condition()
        assert met or process.poll() is None, process.communicate()
        return met

    wait_until(holds)


def wait_for_requests(endpoint: ScriptedEndpoint, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until the endpoint has seen this many requests; the run must be alive until then."""
    wait_for(lambda: len(endpoint.requests) >= number, process)


def wait_for_line(text: str, process: subprocess.Popen[str]) -> None:
    """Wait until the process has written a line with this to stderr."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} was not said: {''.join(said)}")


class Deck:
    """Deals `shares` (out of `size`) of faults in an order that the seed decides: each `size` requests hold exactly their share."""

    def __init__(self, shares: Sequence[tuple[int, Callable[[Received], Iterable[Action]]]], *, size: int = 100, seed: int = 1) -> None:
        self._cards: list[Handler] = [card for share, card in shares for _ in range(share)]
        self._cards += [answer] * (size - len(self._cards))
        self._random = random.Random(seed)
        self._hand: list[Handler] = []

    def __call__(self, received: Received) -> Iterable[Action]:
        """The next card's actions."""
        if not self._hand:
            self._hand = self._random.sample(self._cards, len(self._cards))
        return self._hand.pop()(received)
