"""The math scorer: compare an answer with the right one as mathematical expressions, by math-verify."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import weakref
from importlib.util import find_spec
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, expected_texts
from batch.evaluation.table import ScoreValue

LONGEST_S = 10.0
"""Seconds of CPU that one comparison may take; the simplification of an expression may take for ever."""
# On a machine that is busy with other work, ten seconds of CPU may be minutes.
_PATIENCE_S = 600.0


def math() -> Scorer:
    r"""Score 1 when the answer equals the expected value, or one of several: numbers, expressions, sets, intervals, equations.

    The answer is what math-verify finds, the last \boxed{} first (https://github.com/huggingface/Math-Verify). An answer without an
    expression, or whose comparison takes longer than `LONGEST_S`, is unscored. Needs the extra `math`.

    Raises:
        SetupError: the library is missing.
    """
    if find_spec("math_verify") is None:
        raise SetupError("the scorer math needs the package math-verify; run: pip install 'promptmill[math]'")
    worker = _Worker()

    def score(sample: Sample) -> ScoreValue:
        wanted = expected_texts(sample.expected)
        text = answer_text(sample)
        found = worker.compare(wanted, "" if isinstance(text, ScoreValue) else text)
        if found is None:
            return unscored(f"the comparison took longer than {LONGEST_S:g} s")
        if "unread" in found:
            raise ExpectedError(f"the expected value is no mathematical expression: {found['unread'][:60]}")
        if isinstance(text, ScoreValue):
            return text
        if found["found"] is None:
            return unscored("no mathematical expression in the answer" if text.strip() else "empty answer")
        return scored(found["right"], found["found"], "equal" if found["right"] else f"not {' or '.join(wanted)[:60]}")

    return score


class _Worker:
    """The process of math_worker.py: started on demand, ended when a comparison takes too long, or with this object."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[Any, Any] | None = None

    def compare(self, expected: list[str], answer: str) -> dict[str, Any] | None:
        """Return the process's reply about an answer; None when it takes too long."""
        if self._process is None:
            # The first reply waits for the imports.
            self._start()
            if self._ask({"expected": ["1"], "answer": ""}, None) is None:
                raise SetupError("math-verify did not begin to work; is promptmill[math] installed as a whole?")
        return self._ask({"expected": expected, "answer": answer}, LONGEST_S)

    def _start(self) -> None:
        command = [sys.executable, "-m", "batch.evaluation.scorers.math_worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - it is our own module
        self._end = weakref.finalize(self, _end, self._process)

    def _ask(self, question: dict[str, Any], cpu_s: float | None) -> dict[str, Any] | None:
        process = self._process
        assert process is not None  # noqa: S101 - for the type checker
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        line = b""
        try:
            process.stdin.write(json.dumps({**question, "cpu_s": cpu_s}).encode() + b"\n")
            process.stdin.flush()
            # A reply is one short line, written at once.
            if select.select([process.stdout], [], [], _PATIENCE_S)[0]:
                line = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            if self._end is not None:
                self._end()
            self._process = None
            return None
        found: dict[str, Any] = json.loads(line)
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
