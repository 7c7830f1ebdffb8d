"""A process that compares mathematical answers with math-verify, so that one that takes for ever can be ended with it.

Lines of JSON: {"expected": [TEXT, …], "answer": TEXT, "cpu_s": SECONDS or null} in, and out one of {"unread": TEXT} (an expected value
that is no expression), {"found": null} (no expression in the answer) and {"found": TEXT, "right": BOOL}. What takes more than its seconds
of CPU ends the process.
"""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
from typing import Any


def main() -> None:
    """Answer each line of standard input, until it ends."""
    # math-verify warns that nothing bounds its time; this process is what bounds it.
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        asked = json.loads(line)
        # CPU time and not the clock's: how busy the machine is must change no score.
        signal.setitimer(signal.ITIMER_VIRTUAL, asked["cpu_s"] or 0)
        print(json.dumps(_compare(asked["expected"], asked["answer"])), flush=True)  # noqa: T201 - it is the protocol


def _compare(expected: list[str], answer: str) -> dict[str, Any]:
    from math_verify import parse, verify

    golds = [_gold(text) for text in expected]
    for text, gold in zip(expected, golds, strict=True):
        if not gold:
            return {"unread": text}
    found = parse(answer, parsing_timeout=None) if answer.strip() else []
    if not found:
        return {"found": None}
    shown = next((part for part in found if isinstance(part, str)), None)
    right = any(verify(list(gold), found, timeout_seconds=None) for gold in golds)
    return {"found": shown if shown is not None else str(found[0]), "right": right}


@functools.lru_cache(maxsize=4096)
def _gold(text: str) -> tuple[Any, ...]:
    """A right value as expressions: LaTeX with or without its dollar signs, or plain text."""
    from math_verify import parse

    given = text.rpartition("####")[2].strip()
    wrapped = given if "$" in given or "\\boxed" in given or "\\[" in given else f"${given}$"
    return tuple(parse(wrapped, parsing_timeout=None) or parse(given, parsing_timeout=None))


if __name__ == "__main__":
    main()
