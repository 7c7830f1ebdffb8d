"""The choice scorer: letters said in prose, and the traps in it."""

from __future__ import annotations

import pytest

from batch.evaluation.scorers.choice import choice
from batch.evaluation.scorers.sample import ExpectedError, Sample

CLEAR = [
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("B.", "B"),
    ("**B**", "B"),
    ("`B`\n", "B"),
    ("Ｂ", "B"),
    ("The answer is (B).", "B"),
    ("The answer is B", "B"),
    ("the answer is b.", "B"),
    ("Answer: B", "B"),
    ("ANSWER: B) Paris", "B"),
    ("**Answer:** B", "B"),
    ("**Answer: B**", "B"),
    ("Final answer: **(B)**", "B"),
    ("The correct answer is option B.", "B"),
    ("The correct answer is: B. Paris", "B"),
    ("I would choose option B because it fits.", "B"),
    ("I'd go with B.", "B"),
    ("My answer would be clearly B", "B"),
    (r"So \boxed{B}", "B"),
    (r"$\boxed{\text{B}}$", "B"),
    ("#### B", "B"),
    ("B) Paris", "B"),
    ("B. Paris", "B"),
    ("B: Paris", "B"),
    ("(B) Paris is the capital.", "B"),
    ("**B) Paris**", "B"),
    ("- B) Paris", "B"),
    ("It is Paris, so (B).", "B"),
    ("I think it's B", "B"),
    ("Clearly B fits best.", "B"),
    ("A good question. The answer is B.", "B"),
    ("A good question! I think B.", "B"),
    ("A man and B", "B"),
    ("A and only B", "B"),
    ("I am sure: B", "B"),
    ("The answer is A because it is large.", "A"),
    ("The answer is A", "A"),
    ("The answer is A: Paris", "A"),
    ("Answer: A good case can be made for all, but the answer is C.", "C"),
    ("My answer: I think B is right.", "B"),
    ("The answer is A. Wait, that is wrong. The answer is B.", "B"),
    ("Answer: A\n\nOn reflection:\nAnswer: B", "B"),
    ("The answer is not A but B.", "B"),
    ("It isn't A. It's B.", "B"),
    ("A is wrong, so B.", "B"),
    ("(A) is incorrect. (B) remains.", "B"),
    ("I would rule out A, which leaves B.", "B"),
    ("Options:\nA) London\nB) Paris\n\nThe answer is B.", "B"),
    ("<think>The answer is A. Hmm.</think>B", "B"),
    ("The answer is A.</think>\n\nB", "B"),
    ("Vitamin C and vitamin D aside, the answer is B.", "B"),
    ("The best answer is C. Option A is wrong; option B is also wrong.", "C"),
    ("The answer is A. Option B would need a river.", "A"),
    ("Option B says Rome, which is false. Option A says Paris. I choose option A.", "A"),
    ("The answer's B.", "B"),
    ("Of all of them, B is the correct one.", "B"),
    ("(B) is correct, while (A) is not correct.", "B"),
    ("A is clearly right.", "A"),
    ("B is correct. No: C is correct.", "C"),
    ("I'm going with **B**.", "B"),
    ("Answer: (A), because B is wrong.", "A"),
    ("The answer is:\n\nB", "B"),
    ("Answer\n\nB", "B"),
    ("Is it C or D? The answer is B because it fits.", "B"),
    ("Antwort: die richtige Option ist B.", "B"),
]

UNCLEAR = [
    "",
    "  \n",
    "A good question",
    "I do not know.",
    "Paris",
    "The answer is A or B.",
    "The answer is (A) and (C).",
    "Answer: A/B",
    "Either B or C.",
    "A and B",
    "Either A or D",
    "Both A and C are right",
    "The correct answers are A and C.",
    "A et C",
    "A und D",
    "A) London\nB) Paris\nC) Rome",
    "The answer is not B.",
    "Not B.",
    "It depends on the facts at hand.",
    "A\nB",
    "<think>The answer is B, or",
    "Z",
    "BBC",
    "The answer is Berlin",
    "Answer: none of them",
    "Option A says Paris, option B says Rome.",
    "I would not choose B.",
    "R&B is a C-major thing",
]


@pytest.mark.parametrize(("text", "letter"), CLEAR)
def test_clear_choices_are_read(text: str, letter: str) -> None:
    """A letter that is clearly taken is found, in whichever words, and scored by whether it is the expected one."""
    cell = choice()(Sample(text, letter))
    assert (cell.state, cell.value, cell.extracted) == ("scored", 1, letter)
    assert choice()(Sample(text, "J")).value == 0


@pytest.mark.parametrize("text", UNCLEAR)
def test_unclear_choices_are_unscored(text: str) -> None:
    """An answer that takes no option, or several, is unscored and never 0; the reason is told."""
    cell = choice()(Sample(text, "B"))
    assert (cell.state, cell.value) == ("unscored", None)
    assert cell.reason


def test_tool_calls_only_are_unscored() -> None:
    """A null completion has no choice to be read."""
    assert choice()(Sample(None, "B", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}])).state == "unscored"


OPTIONS = {"choices": ["London", "Paris", "Rome"]}


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        ("Paris", "B", 1),
        ("paris.", "Paris", 1),
        ("The capital of France is Paris.", 1, 1),
        ("It is Rome", 1, 0),
        ("B", "Paris", 1),
        ("London or Paris", "B", None),
        ("Parisian", "B", None),
    ],
)
def test_option_texts_name_options(text: str, expected: object, value: float | None) -> None:
    """With the options' texts, an answer and an expected value may name an option by its text, and an expected value by its number."""
    assert choice(options="choices")(Sample(text, expected, columns=OPTIONS)).value == value


@pytest.mark.parametrize("expected", ["Madrid", None, [], "", 3])
def test_expected_values_that_name_no_option(expected: object) -> None:
    """An expected value that is none of the options is a fault of the row, whatever the answer."""
    for text in ("B", None):
        with pytest.raises(ExpectedError):
            choice(options="choices")(Sample(text, expected, columns=OPTIONS))


def test_a_table_of_options_brings_its_own_labels() -> None:
    """Options as a table: its keys are the labels that an expected value may have."""
    columns = {"choices": {"a": "London", "b": "Paris"}}
    assert choice(options="choices")(Sample("I say Paris", "b", columns=columns)).value == 1


def test_few_labels() -> None:
    """With labels Y and N, other letters are words."""
    scorer = choice(labels="YN")
    assert scorer(Sample("A: Y", "Y")).value == 1
    assert scorer(Sample("N", "Y")).value == 0
    assert scorer(Sample("B", "Y")).value is None


OTHER_LANGUAGES = [
    ("A und C sind falsch. Die richtige Antwort ist B.", "B"),
    ("Die Antwort ist nicht B, sondern C.", "C"),
    ("Antwort A ist richtig", "A"),
    ("Die Lösung lautet D", "D"),
    ("La respuesta correcta es B. C es incorrecta.", "B"),
    ("La respuesta no es B. La respuesta es C.", "C"),
    ("Respuesta: **B**", "B"),
    ("La réponse est A.", "A"),
    ("La bonne réponse est la B.", "B"),
    ("A resposta correta é D.", "D"),
    ("La risposta è C, non A.", "C"),
    ("Het antwoord is C.", "C"),
    ("A и C неверны. Правильный ответ: B.", "B"),
    ("Ответ — D", "D"),
    ("Odpowiedź: B", "B"),
    ("Cevap: D", "D"),
    ("Jawabannya adalah C", "C"),
    ("Đáp án là A.", "A"),
    ("Jibu: A", "A"),
    ("الإجابة: C", "C"),
    ("उत्तर: B", "B"),
    ("คำตอบคือ B", "B"),
    ("A选项不对，C也不对，所以答案是B。", "B"),
    ("B不对，C也不对，所以是D", "D"),
    ("答案为D选项", "D"),
    ("故选：B", "B"),
    ("【答案】C", "C"),
    ("答案是A", "A"),
    ("答えはBです。", "B"),
    ("正解はAです。", "A"),
    ("Bは間違いです。Cが正しい", "C"),
    ("정답은 B입니다. A와 C는 틀렸습니다.", "B"),
    ("답: D", "D"),
]


@pytest.mark.parametrize(("text", "expected"), OTHER_LANGUAGES)
def test_statements_in_other_languages(text: str, expected: str) -> None:
    """An option is stated, and denied, in other languages than English too; scripts without spaces stand right beside the letter."""
    cell = choice()(Sample(text, expected))
    assert (cell.state, cell.value, cell.extracted) == ("scored", 1, expected), cell


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        ("AC", "AC", 1),
        ("C, A", "A,C", 1),
        ("(A), (C)", ["A", "C"], 1),
        ("The answer is A and C.", "AC", 1),
        ("The correct answers are A and C. B is wrong.", "AC", 1),
        ("**Answer: A, C**", "AC", 1),
        (r"\boxed{A, C}", "AC", 1),
        ("Both B and D", "BD", 1),
        ("Die Antwort ist A und C.", "AC", 1),
        ("答案：A、C", "AC", 1),
        ("I think A is right and also C is right, not B", "AC", 1),
        ("The answer is A.", "AC", 0),
        ("The answer is A, B and C", "AC", 0),
        ("The answer is A, C. Both are right.", "A", 0),
        ("I do not know", "AC", None),
    ],
)
def test_all_of_several_right_options_and_no_other(text: str, expected: object, value: float | None) -> None:
    """With need = "all" an answer is right that takes all right options and no wrong one, in any order and form."""
    assert choice(need="all")(Sample(text, expected)).value == value


def test_right_options_that_are_none_are_refused() -> None:
    """A right value with a letter that is no option is a fault of the row."""
    with pytest.raises(ExpectedError):
        choice(need="all", labels="ABCD")(Sample("A", "AX"))
