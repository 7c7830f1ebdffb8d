"""Scorers that compare texts: exact, contains, regex, token_f1, rouge_l, edit, bleu, chrf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import SetupError
from batch.evaluation.scorers import KINDS, extra, matching, overlap
from batch.evaluation.scorers.sample import ExpectedError, Sample
from batch.evaluation.scorers.texts import normalised

EXACT = [
    ("Paris", "Paris", 1),
    (" paris \n", "Paris", 1),
    ("Paris.", "Paris", 1),
    ("**Paris**", "Paris", 1),
    ('"Paris"!', "paris", 1),
    ("New\n  York", "new york", 1),
    ("São Paulo", "Sa\u0303o Paulo", 1),
    ("Ｐａｒｉｓ", "Paris", 1),
    ("ﬁn", "fin", 1),
    ("it’s", "it's", 1),
    ("Straße", "STRASSE", 1),
    ("東京。", "東京", 1),
    ("zero\u200bwidth", "zerowidth", 1),
    ("Par\u00a0is", "Par is", 1),
    ("It is Paris", "Paris", 0),
    ("Sao Paulo", "São Paulo", 0),
    ("-5", "5", 0),
    ("5%", "5", 0),
    ("$5", "5", 0),
    ("C#", "C", 0),
    ("C++", "C", 0),
    ("10²", "102", 0),
    (".5", "5", 0),
    ("", "Paris", 0),
    ("...", "!", 0),
    ("The cat", "cat", 0),
    ("Lyon", ["Paris", "Lyon"], 1),
    ("3", 3.0, 1),
    ("True", True, 1),
    ("1.5", 1.5, 1),
    ("<think>Lyon?</think>\nParis", "Paris", 1),
    ("Hm, Lyon?</think>\nParis", "Paris", 1),
    ("<think>Paris", "Paris", None),
    (None, "Paris", None),
]


@pytest.mark.parametrize(("text", "expected", "value"), EXACT)
def test_exact(text: str | None, expected: Any, value: float | None) -> None:
    """The whole answer is compared; looks do not count, meaning does, and what cannot be compared is unscored."""
    cell = matching.exact()(Sample(text, expected))
    assert cell.value == value
    assert cell.state == ("unscored" if value is None else "scored")
    assert cell.reason


def test_exact_with_options() -> None:
    """Case and punctuation count when asked for, articles are left out when asked for."""
    assert matching.exact(case_sensitive=True)(Sample("paris", "Paris")).value == 0
    assert matching.exact(punctuation=True)(Sample("Paris.", "Paris")).value == 0
    assert matching.exact(articles=False)(Sample("The cat", "a cat")).value == 1
    assert matching.exact(articles=False)(Sample("The", "a")).value == 0


@given(st.text())
def test_a_text_is_normalised_once(text: str) -> None:
    """Every text equals itself, and what is normalised stays as it is."""
    assert matching.exact()(Sample(text, text)).value == (None if "<think" in text.lower() or "</think" in text.lower() else 1)
    assert normalised(normalised(text)) == normalised(text)


CONTAINS = [
    ("The capital is Paris.", "paris", 1),
    ("a big party", "art", 0),
    ("modern art!", "art", 1),
    ("15", "5", 0),
    ("1.5", "5", 0),
    ("5.2", "5", 0),
    ("It is 5.", "5", 1),
    ("5, 6", "5", 1),
    ("-5", "5", 1),
    ("東京です", "東京", 1),
    ("New  York", "new york", 1),
    ("Paris or Lyon", ["Rome", "Lyon"], 1),
    ("party art", "art", 1),
    ("", "Paris", 0),
    (None, "Paris", None),
    ("C++ it is", "C++", 1),
]


@pytest.mark.parametrize(("text", "expected", "value"), CONTAINS)
def test_contains(text: str | None, expected: Any, value: float | None) -> None:
    """The expected words stand in the answer as words and numbers of their own."""
    assert matching.contains()(Sample(text, expected)).value == value


def test_contains_with_options() -> None:
    """Parts of words, all of several, and case."""
    assert matching.contains(whole_words=False)(Sample("party", "art")).value == 1
    assert matching.contains(need="all")(Sample("Paris", ["Paris", "Lyon"])).value == 0
    assert matching.contains(need="all")(Sample("Lyon, Paris", ["Paris", "Lyon"])).value == 1
    assert matching.contains(case_sensitive=True)(Sample("paris", "Paris")).value == 0


def test_regex() -> None:
    """Without an expected value a match is right; with one, what was caught must be it, and no match is unscored."""
    assert matching.regex(pattern=r"\d{4}")(Sample("in 1789")).value == 1
    assert matching.regex(pattern=r"\d{4}")(Sample("long ago")).value == 0
    label = matching.regex(pattern=r"label: (\w+)", ignore_case=True)
    assert label(Sample("Label: spam", "SPAM")).value == 1
    assert label(Sample("Label: spam, no, label: ham", "ham")).value == 1
    assert label(Sample("Label: ham", "spam")).value == 0
    assert label(Sample("I cannot say", "spam")).state == "unscored"
    assert matching.regex(pattern=r"(\w+)", which="first")(Sample("spam ham", "spam")).value == 1
    assert matching.regex(pattern=r"x")(Sample(None)).state == "unscored"
    assert matching.regex(pattern=r"(x)?y")(Sample("y", "y")).state == "unscored", "no group caught anything"


# From SQuAD's evaluate-v1.1.py: articles, punctuation and case are gone before words are counted.
SQUAD = [
    ("The Eiffel Tower!", "Eiffel tower", 1.0),
    ("in the Eiffel Tower", "Eiffel Tower", 0.8),
    ("1,000", "1000", 1.0),
    ("Lyon", "Paris", 0.0),
    ("", "Paris", 0.0),
    ("the", "a", 1.0),
    ("東京都", "東京", 0.8),
    ("b b c", "b c c", 2 / 3),
]


@pytest.mark.parametrize(("text", "expected", "value"), SQUAD)
def test_token_f1(text: str, expected: str, value: float) -> None:
    """The F1 of words, as SQuAD has it."""
    assert overlap.token_f1()(Sample(text, expected)).value == pytest.approx(value)


def test_token_f1_takes_the_nearest_of_several() -> None:
    """Of several right answers the nearest counts."""
    assert overlap.token_f1()(Sample("Lyon", ["Paris", "Lyon"])).value == 1


# The first from rouge-score's own documentation; the others from Lin (2004), section 3.1, whose F there (beta → recall) differs from F1.
ROUGE = [
    ("The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog", 2 * 5 / (8 + 9)),
    ("police kill the gunman", "police killed the gunman", 0.75),
    ("the gunman kill police", "police killed the gunman", 0.5),
    ("", "police", 0.0),
    ("Кошка сидит", "кошка сидит", 1.0),
]


@pytest.mark.parametrize(("text", "expected", "value"), ROUGE)
def test_rouge_l(text: str, expected: str, value: float) -> None:
    """The published examples of ROUGE-L."""
    assert overlap.rouge_l()(Sample(text, expected)).value == pytest.approx(value)


def test_edit() -> None:
    """One minus the distance over the longer length: kitten → sitting is 3 of 7."""
    assert overlap.edit()(Sample("kitten", "sitting")).value == pytest.approx(1 - 3 / 7)
    assert overlap.edit()(Sample("", "abc")).value == 0
    assert overlap.edit()(Sample("ABC.", "abc")).value == 1


def test_bleu_and_chrf() -> None:
    """Equal texts have 1, texts without anything in common 0, others lie between; scores are those of sacrebleu."""
    for make in (overlap.bleu, overlap.chrf):
        scorer = make()
        assert scorer(Sample("The cat sat on the mat.", "The cat sat on the mat.")).value == pytest.approx(1)
        assert scorer(Sample("xyz", "The cat")).value == pytest.approx(0, abs=0.01)
        assert scorer(Sample("", "The cat")).value == 0
        part = scorer(Sample("The cat sat on a mat.", "The cat sat on the mat.")).value
        assert part is not None
        assert 0.3 < part < 1


GRADED = [overlap.token_f1, overlap.rouge_l, overlap.edit, overlap.bleu, overlap.chrf]


@pytest.mark.parametrize("make", GRADED)
def test_graded_scorers_leave_unscored_what_has_no_text(make: Any) -> None:
    """Null completions are unscored."""
    assert make()(Sample(None, "x", tool_calls=[{}])).state == "unscored"


@pytest.mark.parametrize("make", [*GRADED, matching.exact, matching.contains])
@pytest.mark.parametrize("text", ["x", "", None])
def test_a_row_without_an_expected_value_is_told(make: Any, text: str | None) -> None:
    """Without anything to compare with, it is the row that is at fault, whatever the answer."""
    for expected in (None, [], [None]):
        with pytest.raises(ExpectedError):
            make()(Sample(text, expected))


@given(text=st.text(max_size=30), expected=st.text(max_size=30))
@pytest.mark.parametrize("make", GRADED)
def test_graded_marks_are_from_0_to_1(make: Any, text: str, expected: str) -> None:
    """Whatever the texts, a mark lies between 0 and 1, and a text is nearest to itself."""
    value = make()(Sample(text, expected)).value
    assert value is None or 0 <= value <= 1


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error names the command that installs it."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(extra, "import_module", absent)
    with pytest.raises(SetupError, match=r"edit needs the package rapidfuzz; run: pip install 'promptmill\[eval\]'"):
        overlap.edit()


def test_a_pattern_that_backtracks_cannot_hang_a_score() -> None:
    """R3: an answer on which the user's pattern would take years is unscored, and the next one is scored."""
    score = KINDS["regex"].make(pattern=r"^(?:(\w|\w\w)+)$")
    endless = score(Sample("a" * 60 + "!"))
    assert (endless.state, endless.reason) == ("unscored", "the pattern took longer than 1 s on this answer")
    assert score(Sample("abc")).value == 1


def test_a_pattern_of_alternatives_catches_by_the_group_that_took_part() -> None:
    """Of groups in alternatives the first that caught something counts, not always group 1."""
    score = KINDS["regex"].make(pattern=r"answer (\d+)|is (\d+)")
    assert score(Sample("so it is 5", "5")).value == 1
    assert score(Sample("answer 7", "7")).value == 1


def test_a_text_of_one_letter_is_searched_in_linear_time() -> None:
    """Looking beside each of a million places copies nothing of the text before it."""
    assert KINDS["contains"].make()(Sample("a" * 300_000, "a")).value == 0


def test_exact_as_squad_has_it() -> None:
    """With squad, case, articles and all ASCII punctuation are ignored, within the text too."""
    score = matching.exact(squad=True)
    assert score(Sample("The U.S.A., of course!", "usa of course")).value == 1
    assert score(Sample("U.S.A.", ["UK", "USA"])).value == 1
    assert score(Sample("USAs", "USA")).value == 0
    assert matching.exact()(Sample("U.S.A.", "USA")).value == 0
