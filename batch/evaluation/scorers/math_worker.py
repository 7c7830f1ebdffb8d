"""Compare mathematical answers with math-verify, in a process that can be ended when a comparison takes too long.

Lines of JSON: {"expected": [TEXT, …], "answer": TEXT, "cpu_s": SECONDS or null} in, and out one of {"unread": TEXT} (an expected value
that is no expression), {"found": null} (no expression in the answer) and {"found": TEXT, "right": BOOL}. What takes more than its seconds
of CPU ends the process.
"""

from __future__ import annotations

import functools
import json
import logging
import re
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
    from math_verify import verify

    golds = [_gold(text) for text in expected]
    for text, gold in zip(expected, golds, strict=True):
        if not gold:
            return {"unread": text}
    found = _parsed_answer(answer) if answer.strip() else []
    if not found:
        return {"found": None}
    shown = next((part for part in found if isinstance(part, str)), None)
    right = any(verify(list(gold), found, timeout_seconds=None) for gold in golds)
    return {"found": shown if shown is not None else str(found[0]), "right": right}


def _parsed_answer(answer: str) -> list[Any]:
    """Parse the expressions of an answer. A bare expression is taken whole; in other answers math-verify finds them."""
    from math_verify import parse

    bare = _bare_expression(answer)
    found = parse(f"${bare}$", parsing_timeout=None) if bare is not None else []
    return list(found or parse(answer.replace("°", r"^\circ"), parsing_timeout=None))


@functools.lru_cache(maxsize=4096)
def _gold(text: str) -> tuple[Any, ...]:
    """Parse a right value: LaTeX with or without dollar signs, or plain text."""
    from math_verify import parse

    given = text.rpartition("####")[2].strip()
    wrapped = given if any(mark in given for mark in _DELIMITERS) else f"${_as_latex(given)}$"
    return tuple(parse(wrapped, parsing_timeout=None) or parse(given, parsing_timeout=None))


_DELIMITERS = ("$", r"\boxed", r"\[", r"\(")
# What is no word of prose although it has letters: commands, environments, and the names of functions.
_NO_WORDS = re.compile(r"\\(?:begin|end|text|mathrm|mbox)\{[^}]*\}|\\[A-Za-z]+|\b(?:sqrt|sin|cos|tan|cot|sec|log|ln|exp|pi)\b")


def _bare_expression(answer: str) -> str | None:
    """Return an answer that is one undelimited expression as LaTeX; None for any other answer."""
    line = answer.strip().rstrip(".")
    if "\n" in line or any(mark in line for mark in _DELIMITERS) or re.search(r"[^\W\d_]{2}", _NO_WORDS.sub(" ", line)):
        return None
    # A plain number has forms, such as 1.234,5, that are no LaTeX.
    return _as_latex(line) if re.search(r"[\\^*=<>()\[\]A-Za-z]", line) else None


def _as_latex(text: str) -> str:
    """Convert an expression in Python's notation (2**(1/4), sqrt(3)) to LaTeX; return others unchanged."""
    text = text.replace("**", "^").replace("°", r"^\circ")
    for pattern, latex in (
        (r"(?<!\\)\bsqrt\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\^\(([^()]*)\)", r"^{(\1)}"),
        (r"(?<=[\w)}])\*(?=[\w({\\])", r"\\cdot "),
    ):
        text = re.sub(pattern, latex, text)
    return text


if __name__ == "__main__":
    main()
