"""The tables of inspect's and math-verify's own tests, restated as rows: agreement, and each difference with its reason.

inspect_ai, tests/scorer/test_match.py, test_pattern.py, test_answer.py, test_choice.py, test_classification.py (MIT); Math-Verify,
tests/test_all.py, test_number_extraction (Apache-2.0).
"""

from __future__ import annotations

from typing import Any

import pytest

from batch.evaluation.scorers import KINDS
from batch.evaluation.scorers.sample import ExpectedError, Sample

Row = tuple[str, str, Any, float | None, dict[str, Any]]
ALL: dict[str, Any] = {"need": "all"}
FIRST: dict[str, Any] = {"which": "first"}
WORD: dict[str, Any] = {"pattern": r"(?i)answer:\s*(\S.*)"}

# kind, answer, right value, score (None: unscored), options
AGREED: list[Row] = [
    ("number", "28 + 32 = 60\nThis solves the problem.", "60", 1, {}),
    ("number", "**ANSWER: 28 + 32 = 60**\nThis solves the problem.", "60", 1, {}),
    ("number", "28 + 32 = 60%\nThis solves the problem.", ["60", "60%"], 1, {}),
    ("number", "28 + 32 = 60%", "60%", 1, {}),
    ("number", "The answer is 25", "5", 0, {}),
    ("number", "the value is 110", "10", 0, {}),
    ("number", "50 is the answer", "5", 0, FIRST),
    ("contains", "got 25 here", "5", 0, {}),
    ("contains", "first 7 then 25 then done", "25", 1, {}),
    ("number", "5", "-5", 0, {}),
    ("number", "the result is -5", "-5", 1, {}),
    ("number", "the result is -5 exactly", "-5", 1, {}),
    ("number", "pi is approximately 3.14", "3.14", 1, {}),
    ("number", "pi is approximately 33.14", "3.14", 0, {}),
    ("number", "the value is 1000", "1e3", 1, {}),
    ("number", "2.0", "2", 1, {}),
    ("number", "result: -5.0", "-5", 1, {}),
    ("exact", "5 some text", "5", 0, {}),
    ("exact", "5abc", "5", 0, {}),
    ("exact", "5", "5", 1, {}),
    ("number", "answer: −5", "-5", 1, {}),
    ("number", "the result is ½", "0.5", 1, {}),
    ("number", "got -½ as the result", "-0.5", 1, {}),
    ("number", "answer 2½", "2.5", 1, {}),
    ("number", "the answer is １２３", "123", 1, {}),
    ("number", "the answer is -½ extra", "-0.5", 1, {}),
    ("number", "leading text then -½", "-0.5", 1, FIRST),
    ("regex", "foo", "foo", 1, {"pattern": "(foo)"}),
    ("regex", "foo", "target doesn't match", 0, {"pattern": "(foo)"}),
    ("regex", "model doesn't match", "foo", None, {"pattern": "(foo)"}),
    ("regex", "foo", "foo", 1, {"pattern": "(FOO)", "ignore_case": True}),
    ("regex", "foo bar", "foo", 1, {"pattern": "(foo) (bar)"}),
    ("regex", "foo bzr", "bar", 0, {"pattern": "(f[oz]o) (b[az]r)"}),
    ("regex", "ANSWER: A", "B", 0, {"pattern": "ANSWER: (A|B)"}),
    ("choice", "ANSWER: B", "B", 1, {}),
    ("choice", "ANSWER: B", "C", 0, {}),
    ("choice", "ANSWER: Yes", "C", None, {}),
    ("choice", "Let me think. ANSWER: A\nWait, that is wrong.\nANSWER: B", "B", 1, {}),
    ("label", "ANSWER: Yes", "Yes", 1, {}),
    ("label", "ANSWER: ☆", "☆", 1, {}),
    ("label", "ANSWER: Yes.", "Yes", 1, {}),
    ("label", "ANSWER: 42,\n", "42", 1, {}),
    ("label", "ANSWER: 3.14", "3.14", 1, {}),
    ("label", "ANSWER: No\nActually, on reflection...\nANSWER: Yes", "Yes", 1, {}),
    ("regex", "What if the answer: some stuff\n\nNo, that seems wrong.\n\nANSWER: 0.1\n", "0.1", 1, WORD),
    ("regex", "ANSWER:\nThis is a whole new line", "This is a whole new line", 1, WORD),
    ("regex", "ANSWER:\nThis is a whole new line", "This doesn't match does it?", 0, WORD),
    ("choice", "ANSWER: A", "A", 1, ALL),
    ("choice", "ANSWER: A, B", ["A", "B"], 1, ALL),
    ("choice", "ANSWER: A, B", "A,B", 1, ALL),
    ("choice", "ANSWER: A, B", "A, B", 1, ALL),
    ("choice", "ANSWER: A, B", "AB", 1, ALL),
    ("choice", "ANSWER: A, B", "A", 0, ALL),
    ("choice", "ANSWER: A", ["A", "B"], 0, ALL),
    ("choice", "ANSWERS: A", "A", 1, ALL),
    ("exact", "foo", "foo", 1, {}),
    ("exact", "foo", ["foobar", "boofar", "foo"], 1, {}),
    ("exact", "foo1", "foo", 0, {}),
    ("exact", "hello", " hello", 1, {}),
    ("exact", "hello", "", 0, {}),
    ("exact", "(3.14)", "3.14", 1, {}),
    ("token_f1", "foo", "foo", 1, {}),
    ("token_f1", "foo1", "foo", 0, {}),
    ("token_f1", "Paris", ["Paris, Texas", "Paris"], 1, {}),
    ("token_f1", "Paris", "Paris, Texas", 2 / 3, {}),
    ("token_f1", "hello", ["", "hello"], 1, {}),
    ("token_f1", "(3.14)", "3.14", 1, {}),
    ("token_f1", "The answer is 3.14.", "3.14", 0.5, {}),
    # math-verify, test_number_extraction
    ("number", "-5", "-5", 1, {}),
    ("number", "7,425,000", "7425000", 1, {}),
    ("number", "1 000", "1000", 1, {}),
    ("number", "1000.0", "1000", 1, {}),
    ("number", "1,000.0", "1000.0", 1, {}),
    ("number", "1000,99", "1000.99", 1, {}),
    ("number", "1.22", "1,22", 1, {}),
    ("number", "Soucis : 2,74 $ a..", "2.74", 1, {}),
    ("number", ".4", "0.4", 1, {}),
    ("number", "1,000.99", "1000.99", 1, {}),
    ("number", "$1,000.99", "1000.99", 1, {}),
    ("number", "1,000.99$", "1000.99", 1, {}),
    ("number", "the number is not 10 which is 1,000.99€", "1000.99", 1, {}),
    ("number", "so the number is 10 which is 1,000.99m²", "1000.99", 1, {}),
    ("number", "not it's not 10 it's 1,000.99m²", "1000.99", 1, {}),
    ("number", "0.111", "0,111", 1, {}),
    ("number", r"\frac{10}{9}", "10/9", 1, {}),
    ("number", r"-\frac{10}{9}", "-10/9", 1, {}),
]


@pytest.mark.parametrize(("kind", "text", "expected", "value", "options"), AGREED)
def test_agreement_with_the_tables_of_others(kind: str, text: str, expected: Any, value: float | None, options: dict[str, Any]) -> None:
    """What inspect and math-verify hold their own scorers to, this program's scorers do."""
    found = KINDS[kind].make(**options)(Sample(text, expected))
    assert found.value == (None if value is None else pytest.approx(value)), found


# kind, answer, right value, their score, ours, options, why
DIFFERENT: list[tuple[str, str, Any, float | None, float | None, dict[str, Any], str]] = [
    ("number", "28 + 32 = 60%", "32", 1, 0, {}, "60% is a number, and the last one; there it is none"),
    ("number", "result: 三", "3", 1, None, {}, "numbers in words, of any language, are not read: unscored, never wrong"),
    ("regex", "foo bar", "bar", 1, 0, {"pattern": "(foo) (bar)"}, "one group is compared, the first that caught; any of several is luck"),
    ("label", "ANSWER: Yes then more text", "Yes", None, 0, {}, "without a list of labels, what is stated is the label"),
    ("regex", "ANSWER: ", "42", 0, None, {"pattern": r"ANSWER:\s*(\d+)?"}, "nothing was caught: that is no answer, not a wrong one"),
    ("number", "AZYUK2A", "2", 0, None, {}, "a digit inside a word is no number: unscored, which is not right either"),
]


@pytest.mark.parametrize(("kind", "text", "expected", "theirs", "ours", "options", "why"), DIFFERENT)
def test_each_difference_is_meant(
    kind: str, text: str, expected: Any, theirs: float | None, ours: float | None, options: dict[str, Any], why: str
) -> None:
    """Where this program differs, it does so for a reason."""
    found = KINDS[kind].make(**options)(Sample(text, expected))
    assert found.value == ours != theirs, why


def test_a_question_without_a_right_option_is_a_fault_of_the_data() -> None:
    """Inspect scores an empty right value as right for an empty answer; here a row without a right value counts against no one."""
    with pytest.raises(ExpectedError):
        KINDS["choice"].make(need="all")(Sample("ANSWERS: ", ""))
