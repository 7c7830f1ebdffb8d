"""The number scorer: numbers as people and models write them, and which of several counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import SetupError
from batch.evaluation.scorers.number import number
from batch.evaluation.scorers.number_syntax import numbers
from batch.evaluation.scorers.sample import ExpectedError, Sample

EQUAL = [
    ("5", 5),
    ("5.", 5),
    ("5.0", 5),
    ("5", "5"),
    ("5", 5.0),
    ("**5**", 5),
    ("+5", 5),
    ("-5", -5),
    ("−5", -5),
    ("- 5", -5),
    ("–5", -5),
    ("minus 5", -5),
    ("-$5", -5),
    ("$-5", -5),
    ("1,000", 1000),
    ("1,234,567.89", 1234567.89),
    ("12,34,567", 1234567),
    ("1.000,5", 1000.5),
    ("1.234.567", 1234567),
    ("1,5", 1.5),
    ("0,125", 0.125),
    ("1.000", 1),
    ("1\u00a0000", 1000),
    ("1\u202f000,5", 1000.5),
    ("1'000", 1000),
    ("1_000", 1000),
    ("１２", 12),
    (".5", 0.5),
    ("60%", 60),
    ("60%", 0.6),
    ("60 %", "60%"),
    ("60 percent", 0.6),
    ("0.6", "60%"),
    ("60", "60%"),
    (r"60\%", 60),
    ("$12", 12),
    ("12 €", 12),
    ("US$ 12.50", 12.5),
    ("€1.234,50", 1234.5),
    ("12kg", 12),
    ("12 km/h", 12),
    ("98.6°F", 98.6),
    ("3 million", 3_000_000),
    ("3 million", 3),
    ("3 million", "3,000,000"),
    ("$1.2bn", 1_200_000_000),
    ("$5k", 5000),
    ("5m", 5),
    ("1/2", 0.5),
    ("½", 0.5),
    ("2½", 2.5),
    ("1 1/2", 1.5),
    ("-1/2", -0.5),
    ("⅓", "1/3"),
    (r"\frac{1}{2}", 0.5),
    (r"$\dfrac{3}{4}$", 0.75),
    ("1e3", 1000),
    ("1.5E-3", 0.0015),
    ("1.5 × 10^3", 1500),
    ("1.5x10^-3", 0.0015),
    (r"1.5 \times 10^{3}", 1500),
    ("10⁻³ is wrong, 2 × 10⁻³ it is", 0.002),
    ("#### 42", 42),
    ("She has 3 + 4 = 7 apples, then 2 more.\n#### 9", 9),
    (r"so \boxed{42}. (Checked 3 times.)", 42),
    (r"\boxed{\frac{1}{2}}", 0.5),
    (r"\boxed{1{,}000}", 1000),
    (r"\boxed{\$12}", 12),
    ("The answer is 42.", 42),
    ("The answer is 42. It took 3 steps.", 42),
    ("The answer is 3.5 kg in 2 bags? No. The answer is 4.5 kg.", 4.5),
    ("The final answer is: $18 per day", 18),
    ("**Answer:** 18 dollars for 2 people", 18),
    ("Answer for 3 people is 12", 12),
    ("The answer is 5 + 3 = 8", 8),
    ("The total is 12 apples and 3 pears.", 3),
    ("The answer is 7 of 9, since x = y.", 7),
    ("The answer is 5.\nThat answer is surely right, in 3 ways.", 3),
    ("The answer is 5. The answer is surely right. Of 9 ways, that is.", 5),
    ("not 5 but 7", 7),
    ("7, not 5", 7),
    ("It is 7 rather than 5.", 7),
    ("The answer is not 5 but 7.", 7),
    ("First 2, then 3, so 5", 5),
    ("1. Add 2 and 3.\n2. Get 5.\n3. Done.", 5),
    ("H2O has 3 atoms", 3),
    ("GPT-4 says 7", 7),
    ("from 3-5 it is 2", 2),
    ("Version 1.2.3 has 8 parts", 8),
    ("<think>maybe 3</think>\n5", 5),
    ("5", [4, 5]),
    ("12345678901234567890", 12345678901234567890),
    ("0.3", 0.1 + 0.2),
]

DIFFERENT = [
    ("5", 6),
    ("-5", 5),
    ("5", -5),
    ("50", 5),
    ("0.5", 5),
    ("1,000", 1),
    ("1.5", 15),
    ("6%", 0.6),
    ("3 million", "3 billion"),
    ("12345678901234567891", 12345678901234567890),
    ("3-5", 4),
    ("100 200", 100200),
    ("1e3", 13),
]

UNSCORED = [
    "",
    "   ",
    "twelve",
    "I do not know",
    "not 5",
    "H2O",
    "GPT-4",
    "1.2.3",
    "192.168.0.1",
    "1/0",
    "1e999999999",
    "9" * 5000,
    "<think>it is 5",
    "∞",
    "NaN",
]


@pytest.mark.parametrize(("text", "expected"), EQUAL)
def test_right_numbers(text: str, expected: object) -> None:
    """Each way to write the expected number counts as right."""
    cell = number()(Sample(text, expected))
    assert (cell.state, cell.value) == ("scored", 1), cell


@pytest.mark.parametrize(("text", "expected"), DIFFERENT)
def test_wrong_numbers(text: str, expected: object) -> None:
    """Another number is wrong, however near it looks."""
    cell = number()(Sample(text, expected))
    assert (cell.state, cell.value) == ("scored", 0), cell


@pytest.mark.parametrize("text", UNSCORED)
def test_answers_without_a_number_are_unscored(text: str) -> None:
    """What cannot be read as a number is unscored, never 0."""
    cell = number()(Sample(text, 5))
    assert (cell.state, cell.value) == ("unscored", None), cell


@pytest.mark.parametrize("expected", [None, "twelve", "", "3 of 5", True, float("nan"), []])
def test_expected_values_that_are_no_number(expected: object) -> None:
    """An expected value that is no number is a fault of the row, whatever the answer."""
    for text in ("5", "", None):
        with pytest.raises(ExpectedError):
            number()(Sample(text, expected))


def test_tolerances() -> None:
    """`tolerance` is absolute, `relative` a share of the expected value; the wider one counts."""
    assert number()(Sample("3.14", 3.14159)).value == 0
    assert number(tolerance=0.01)(Sample("3.14", 3.14159)).value == 1
    assert number(relative=0.01)(Sample("101", 100)).value == 1
    assert number(relative=0.01)(Sample("102", 100)).value == 0
    assert number(tolerance=2, relative=0.01)(Sample("102", 100)).value == 1
    assert number(tolerance=0.1)(Sample("0.3", 0.2)).value == 1, "decimal arithmetic, not binary"


def test_strict_percent() -> None:
    """Where percent is strict, 60% is 0.6 and nothing else."""
    strict = number(percent="strict")
    assert strict(Sample("60%", 0.6)).value == 1
    assert strict(Sample("60%", 60)).value == 0
    assert strict(Sample("60%", "60%")).value == 1


def test_decimal_sign() -> None:
    """`decimal` settles what 1.000 means."""
    assert number(decimal="comma")(Sample("1.000", 1000)).value == 1
    assert number(decimal="point")(Sample("1,5", 1.5)).value is None


def test_which_of_several() -> None:
    """Without a statement, the option says which number counts."""
    text = "between 3 and 8"
    assert number(which="first")(Sample(text, 3)).value == 1
    assert number(which="last")(Sample(text, 8)).value == 1
    assert number(which="only")(Sample(text, 8)).state == "unscored"


def test_a_number_at_the_cut_of_an_answer_is_unscored() -> None:
    """Of an answer that was cut off, the last number may lack digits."""
    assert number()(Sample("The answer is 12", 12, truncated=True)).state == "unscored"
    assert number()(Sample("The answer is 12, since", 12, truncated=True)).value == 1


@given(st.text(alphabet="0123456789.,-/% eE+x×^\\{}$½\n()#", max_size=60))
def test_any_text_is_read(text: str) -> None:
    """No text makes the reader fail, and what it finds stands where it says."""
    for found in numbers(text):
        assert text[found.start : found.end].strip() == found.text


@given(st.integers(-(10**15), 10**15))
def test_grouped_integers_are_read_back(value: int) -> None:
    """Every integer is read back from Python's own grouped form."""
    assert number()(Sample(f"The result is {value:,}.", value)).value == 1


STATED = [
    # A weak cue names a step; the last number counts.
    ("The total cost is 5 × $3 = $15. She pays with a $20 note, so her change is $5.", 5),
    ("The result of the first step is 16. Multiply it by 4 to get 64.", 64),
    ("**Solution:**\n\nMonday: 36 tickets. Tuesday: 12.\n\nSo he sold 36 + 12 = 48 tickets.", 48),
    ("Answer: Step 1: 48/2 = 24. Step 2: 48 + 24 = 72.", 72),
    ("Answer: 48/2 = 24. Then 48 + 24 = 72", 72),
    ("Answer: 18. She had 16 - 7 = 9 eggs, and sold them", 18),
    ("**Final Answer:** The total is 18 dollars for 2 days", 18),
    # A model that runs on into the next question of its examples.
    ("9 * 2 = $18.\n#### 18\n\nQuestion: Tom buys 4.\nAnswer: 3 + 4 = 7\n#### 7", 18),
    ("A: 26\n\nQ: Tom has 3 pens. How many?\nA: 7", 26),
    ("The answer is 18.\n\nQuestion: Tom has 3\nAnswer: 4", 18),
    ("#### 18\n\n### Instruction:\nCount to 99", 18),
    ("#### 18\n#### 20", 18),
    ("#### Step 1: add 3\n3 + 4 = 7\n#### 2. Double\nThe answer is 14.", 14),
    # A correction takes a statement back.
    ("The answer is 70. Wait, I forgot the 2 cats. That makes 72 in all.", 72),
    (r"\boxed{70} Wait, no. \boxed{72}. Done in 3 steps.", 72),
    ("#### 70\nI made a mistake: it is 72.", 72),
    # Other scripts and languages.
    ("48 + 24 = 72。所以一共卖了72个。", 72),
    ("答案是72，比3大。", 72),
    ("答えは72です。3より大きい。", 72),
    ("合計は72個です。", 72),
    ("共有72个", 72),
    ("คำตอบคือ 72", 72),
    ("ได้ทั้งหมด72บาท", 72),
    ("정답은 72입니다. 3 더하기.", 72),
    ("총72개입니다", 72),
    ("Die Antwort ist 72. Das sind 3 mehr.", 72),
    ("La respuesta es 72. Son 3 más.", 72),
    ("Ответ: 72. Это на 3 больше", 72),
    ("٧٢", 72),
    ("－５．５", -5.5),
    ("１，２３４．５", 1234.5),
    ("５０％", 0.5),
    ("一共3万元", 30_000),
    # Other ways to write a number.
    ("7 425 000", 7_425_000),
    ("The total is 1 234 euros.", 1234),
    ("12 345,67 €", 12345.67),
    ("negative 5", -5),
    ("3 hundred", 300),
    ("10^6", 10**6),
    ("10⁶", 10**6),
    ("10^{-2}", 0.01),
    ("1⁄2", 0.5),
    (r"3\frac14", 3.25),
    (r"-3\frac{1}{2}", -3.5),
    (r"\frac1{20}", 0.05),
    (r"\frac{-3}{4}", -0.75),
    (r"\cfrac{7}{8}", "7/8"),
    (r"\boxed{2^{10}}", 1024),
    (r"\boxed{42\text{ apples}}", 42),
    (r"\boxed{x = 5}", 5),
    (r"\boxed{50\%}", 0.5),
    (r"\boxed{45^\circ}", 45),
    (r"\boxed{12\,\text{cm}^2}", 12),
    # Right values as data sets have them.
    ("1234", "#### 1,234"),
    ("18", "She makes 9 * 2 = $<<9*2=18>>18.\n#### 18"),
    ("1234", "1,234"),
]

NO_PLAIN_NUMBER = [
    r"2\sqrt{3}", r"2\pi", "3x+2", "3x", "(3, 4)", "[1, 5]", "1, 2, 3", "5!", r"1 \pm \sqrt{19}", r"5 \text{ or } 6", r"\frac{x}{2}",
    r"\frac{\pi}{6}", "3i", "2e", r"\log_2 3", "x^2+1", "101_2", r"0.\overline{3}", r"x \le 5", "5-2", "2:3", r"\infty", "A",
    "a" * 1990 + "!",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), STATED)
def test_the_number_that_an_answer_gives(text: str, expected: object) -> None:
    """Of all numbers in an answer the one counts that it gives, however it is written and whatever follows."""
    cell = number()(Sample(text, expected))
    assert (cell.state, cell.value) == ("scored", 1), cell


@pytest.mark.parametrize("inside", NO_PLAIN_NUMBER)
def test_a_boxed_answer_that_is_no_plain_number_is_unscored(inside: str) -> None:
    """The first digit of an expression is not its value: such an answer is unscored, never right and never wrong."""
    cell = number()(Sample(rf"so \boxed{{{inside}}} after 3 steps", 3))
    assert (cell.state, cell.value) == ("unscored", None), cell


def test_a_number_is_cut_out_by_a_pattern() -> None:
    """With a pattern only what its last match caught is read, as a number; an answer without a match is unscored."""
    score = number(pattern=r"ANSWER: (.*)")
    assert score(Sample("ANSWER: 7\nANSWER: $1,234 in all\nChecked 5 times.", "1234")).value == 1
    assert score(Sample("It is 1234", "1234")).reason == "the pattern is not found"
    assert score(Sample("ANSWER: none", "1234")).state == "unscored"
    with pytest.raises(SetupError, match="pattern cannot be read"):
        number(pattern="(")


@pytest.mark.parametrize(
    "text",
    [
        "#### 5\nwait the answer is 5. ",
        "Question:\n",
        r"\boxed{",
        r"\boxed{5} ",
        "answer ",
        "1 234 ",
        "1,",
        r"\frac{1",
        r"\text{",
        "答案",
        "not ",
    ],
)
@pytest.mark.timeout(60)
def test_long_answers_are_read_in_linear_time(text: str) -> None:
    """R3: 10,000 repetitions of anything that begins a statement are read to the end."""
    assert number()(Sample(text * 10_000, 5)).state in {"scored", "unscored"}
