"""The math scorer: equal expressions, and no answer that holds it up. Needs the extra `math`."""

from __future__ import annotations

import importlib.util

import pytest

from batch.errors import SetupError
from batch.evaluation.scorers import math
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer

needs_library = pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed")


@pytest.fixture(scope="module")
def score() -> Scorer:
    return math.math()


@needs_library
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so it is $\boxed{0.5}$", r"\frac{1}{2}"),
        (r"\boxed{\sqrt{12}}", r"2\sqrt{3}"),
        (r"The answer is $\{2, 1\}$.", r"\{1, 2\}"),
        (r"\boxed{[1, 5)}", r"$[1,5)$"),
        (r"\boxed{(3, 4)}", "(3,4)"),
        (r"\boxed{3}", "x = 3"),
        (r"\boxed{x^2 + 2x + 1}", "(x+1)^2"),
        (r"\boxed{042}", 42),
        ("The answer is 42", "42"),
        (r"\boxed{7}", ["6", "7"]),
        (r"<think>\boxed{1}</think> \boxed{\frac{\pi}{2}}", r"\pi/2"),
        # Answers that are nothing but an expression, and Python's way to write one (inspect, tests/scorer/math_cases.json).
        (r"\boxed{\sqrt{\sqrt{2}}}", "2**(1/4)"),
        ("-1 + sqrt(3)", r"\sqrt{3} - 1"),
        ("(3*sqrt(5))/7", r"\frac{3\sqrt{5}}{7}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"\left(3,\frac{\pi}{2}\right)"),
        (r"(-\infty,-8)\cup (8,\infty)", r"(-\infty,-8)\cup (8,\infty)"),
        (r"\begin{pmatrix} 1/2 & 1 \\ -1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1/2 & 1 \\ -1 & 2 \end{pmatrix}"),
        (r"2,3,\frac{3+i\sqrt{3}}{2}", r"2,3,\frac{3+i\sqrt{3}}{2}"),
        ("x=2", "2=x"),
        ("x<2", "2>x"),
        (r"\boxed{74°}", r"74^\circ"),
        ("so it is 7.", "7"),
        ("1,234", "1234"),
    ],
)
def test_equal_expressions_are_right(score: Scorer, text: str, expected: object) -> None:
    """Another form of the same value is right."""
    found = score(Sample(text, expected))
    assert (found.state, found.value) == ("scored", 1), found


@needs_library
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{2}", r"2\sqrt{3}"),
        (r"\boxed{[1, 5]}", "$[1,5)$"),
        (r"\boxed{\{1\}}", r"\{1, 2\}"),
        (r"\boxed{x+2}", "x+1"),
        ("(3, 4]", "(3,4)"),
        ("2**3", "6"),
    ],
)
def test_other_expressions_are_wrong(score: Scorer, text: str, expected: object) -> None:
    """What only looks alike is wrong, not unscored."""
    found = score(Sample(text, expected))
    assert (found.state, found.value) == ("scored", 0), found


@needs_library
def test_what_holds_no_expression_is_unscored(score: Scorer) -> None:
    """An empty answer, words, and no text at all; a right value that is no expression is a fault of the row."""
    for text in ("", "I do not know", None, "<think>5"):
        assert score(Sample(text, "5")).state == "unscored"
    with pytest.raises(ExpectedError):
        score(Sample("5", ""))
    with pytest.raises(ExpectedError):
        score(Sample("5", None))


@needs_library
def test_an_answer_that_takes_for_ever_is_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: the process is ended, the answer is unscored, and the next one is compared by another process."""
    score = math.math()
    assert score(Sample(r"\boxed{3}", "3")).value == 1
    monkeypatch.setattr(math, "LONGEST_S", 0.5)
    endless = score(Sample(r"\boxed{" + "9" * 6 + "^{" + "9" * 8 + "}}", "3"))
    assert (endless.state, endless.reason) == ("unscored", "the comparison took longer than 0.5 s")
    monkeypatch.setattr(math, "LONGEST_S", 30.0)
    assert score(Sample(r"\boxed{3}", "3")).value == 1


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without math-verify the scorer says what to install."""
    monkeypatch.setattr(math, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"promptmill\[math\]"):
        math.math()
