"""The choice scorer: letters of options in the scripts of the world, and the words that look like them."""

from __future__ import annotations

import pytest

from batch.evaluation.scorers.choice import choice
from batch.evaluation.scorers.option_letters import letters_named
from batch.evaluation.scorers.sample import ExpectedError, Sample

# fmt: off
READ = [
    ("Б", "Б"),
    ("б", "Б"),
    ("Б)", "Б"),
    ("б) Париж", "Б"),
    ("Ответ: Б", "Б"),
    ("ответ: б", "Б"),
    ("Правильный ответ — Б.", "Б"),
    ("А и В неверны. Правильный ответ: Б.", "Б"),
    ("А потому ответ — Б", "Б"),
    ("Это вариант Б.", "Б"),
    ("В России столица Москва, поэтому ответ Б", "Б"),
    ("Я думаю, это Б, а не Г", "Б"),
    ("**Б**", "Б"),
    ("(Б)", "Б"),
    ("А неверно, Б верно", "Б"),
    ("Ответ: В, потому что Б не подходит", "В"),
    ("Б. Москва", "Б"),
    ("Правильна відповідь: Г", "Г"),
    ("Відповідь — Б", "Б"),
    ("Вариант А не подходит. Вариант Б верный.", "Б"),
    ("Варианты А и В неверны, остаётся Б", "Б"),
    ("Ответ: D", "Г"),
    ("Ответ: A", "А"),
    ("Η σωστή απάντηση είναι η Β.", "Β"),
    ("Απάντηση: Γ", "Γ"),
    ("Γ", "Γ"),
    ("γ) Παρίσι", "Γ"),
    ("Το Α είναι λάθος. Σωστό είναι το Β.", "Β"),
    ("Η απάντηση είναι Δ", "Δ"),
    ("ب", "ب"),
    ("الإجابة الصحيحة هي ب", "ب"),
    ("الجواب: (ج)", "ج"),
    ("الإجابة: أ", "أ"),
    ("ا", "أ"),
    ("الخيار ب هو الصحيح", "ب"),
    ("أ) باريس", "أ"),
    ("د. القاهرة", "د"),
    ("الإجابة هي هـ", "هـ"),
    ("ليس أ بل ب", "ب"),
    ("پاسخ: الف", "الف"),
    ("گزینه ج", "ج"),
    ("گزینه الف درست است", "الف"),
    ("ב", "ב"),
    ("התשובה היא ב", "ב"),
    ("תשובה א'", "א"),
    ("התשובה הנכונה: ג'", "ג"),
    ("לא א אלא ד", "ד"),
    ("ア", "ア"),
    ("答えはイです。", "イ"),
    ("正解はウである。", "ウ"),
    ("(エ)", "エ"),
    ("アは誤りで、イが正しい", "イ"),
    ("アメリカなので、ウ", "ウ"),
    ("答え：ｱ", "ア"),
    ("アとイは間違いです。ウが正しい。", "ウ"),
    ("㋒", "ウ"),
    ("ロ", "ロ"),
    ("正解はハです", "ハ"),
    ("選択肢エ", "エ"),
    ("う", "う"),
    ("答え：い", "い"),
    ("（え）", "え"),
    ("ㄴ", "ㄴ"),
    ("정답은 ㄴ입니다.", "ㄴ"),
    ("㉡", "ㄴ"),
    ("나", "나"),
    ("정답: 나", "나"),
    ("정답은 나입니다.", "나"),
    ("답: 다", "다"),
    ("나는 모른다. 정답은 가입니다", "가"),
    ("(라)", "라"),
    ("㉯", "나"),
    ("Ｂ", "B"),
    ("Ⓑ", "B"),
    ("ⓑ", "B"),
    ("🅑", "B"),
    ("🅱️", "B"),
    ("𝐁", "B"),
    ("The answer is Ⓒ", "C"),
    ("答案是Ⓒ", "C"),
    ("⒝ Paris", "B"),
    ("③", "③"),
    ("정답은 ③이다", "③"),
    ("정답: ③번", "③"),
    ("❸", "③"),
    ("3", "③"),
    ("3번", "③"),
    ("답은 3입니다", "③"),
    ("乙", "乙"),
    ("答案是乙", "乙"),
    ("选丙", "丙"),
    ("甲状腺的问题，选乙", "乙"),
    ("答案：丁项", "丁"),
    ("甲和乙都不对，选丙。", "丙"),
    ("คำตอบคือ ข", "ข"),
    ("ข", "ข"),
    ("ข้อ ก", "ก"),
    ("ตอบ ค", "ค"),
    ("คำตอบคือ ง. กรุงเทพ", "ง"),
    ("ข้อ ก ผิด ข้อ ข ถูก", "ข"),
    ("ख", "ख"),
    ("उत्तर: (ग)", "ग"),
    ("सही उत्तर क है", "क"),
    ("उत्तर: ब", "ब"),
    ("উত্তর: খ", "খ"),
    ("პასუხი: გ", "გ"),
    ("Պատասխանը՝ Բ", "Բ"),
    ("መልስ: ለ", "ለ"),
    ("விடை: ஆ", "ஆ"),
    ("ចម្លើយ ខ", "ខ"),
    ("Ответ: Б. Vitamin C", "Б"),
]
OTHER = [
    ("Ответ: А или Б", "Б", None),
    ("B", "Б", None),
    ("А", "A", 1),
    ("Ответ: Б", "B", 1),
    ("Ответ: В", "B", None),
    ("Ответ: С", "C", 1),
    ("А и Б неверны, ответ: В", "C", 1),
    ("Απάντηση: Β", "B", 1),
    ("الإجابة: ب", "B", 1),
    ("الإجابة الصحيحة هي: د) القاهرة", "D", 1),
    ("התשובה היא ג.", "C", 1),
    ("答えはイです。", "B", 1),
    ("ㄱ은 틀리고 ㄴ이 맞다", "ㄴ", 1),
    ("나는 모르겠다", "나", None),
    ("정답은 나입니다.", "B", 1),
    ("①은 틀렸다. 정답은 ②", "②", 1),
    ("উত্তরঃ ব", "B", 1),
]
ALL = [
    ("А и В", "АВ"),
    ("Ответ: А, В", "А,В"),
    ("ㄱ, ㄷ", "ㄱ, ㄷ"),
    ("정답은 ㄱ, ㄷ입니다", "ㄱㄷ"),
    ("ㄱㄷ", "ㄱ,ㄷ"),
    ("①, ③", "①③"),
    ("정답: ①, ③", ["①", "③"]),
    ("アとウ", "アウ"),
    ("答えはア、ウです", "アウ"),
    ("الإجابة: أ و ج", ["أ", "ج"]),
    ("Ответы: А и Г", ["А", "Г"]),
    ("1 and 3", "13"),
    ("The answers are 1, 3 and 4.", "1,3,4"),
    ("Α και Γ", "ΑΓ"),
    ("ก และ ค", ["ก", "ค"]),
    ("Ответ: АВГ", "АВГ"),
    ("①③", "1,3"),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), READ)
def test_letters_of_any_script_are_read(text: str, expected: str) -> None:
    """The right value says which alphabet the options have; a letter of it is told from words that have the same letter."""
    cell = choice()(Sample(text, expected))
    assert (cell.state, cell.value) == ("scored", 1), cell


@pytest.mark.parametrize(("text", "expected", "value"), OTHER)
def test_a_letter_of_another_alphabet_counts_by_its_place(text: str, expected: str, value: float | None) -> None:
    """A model that answers with ب for B is understood; a letter that looks like two of different places is unscored."""
    assert choice()(Sample(text, expected)).value == value


@pytest.mark.parametrize(("text", "expected"), ALL)
def test_several_letters_of_any_script(text: str, expected: str | list[str]) -> None:
    """With need = "all", letters side by side, joined by words of the language, or in circles are taken together."""
    labels = "12345" if expected[0] in "13" else None
    assert choice(labels=labels, need="all")(Sample(text, expected)).value == 1


def test_named_letters_have_the_habits_of_their_script() -> None:
    """Labels that a job lists are read as their alphabet's are, also in another order; unknown ones stand for themselves."""
    assert choice(labels="ВБА")(Sample("В России это А", "А")).value == 1
    assert choice(labels="①②③④")(Sample("정답은 3번", "③")).value == 1
    assert letters_named("ⒶⒷ").labels == "AB"
    assert choice(labels="ςϟϡ")(Sample("(ϟ)", "ϟ")).value == 1


def test_options_in_a_list_and_in_a_table_have_letters_of_their_script() -> None:
    """The texts of options belong to the letters of the right value's alphabet, or to those of the table."""
    cities = ["Лондон", "Париж", "Рим"]
    assert choice(options="o")(Sample("Париж", "Б", columns={"o": cities})).extracted == "Б"
    assert choice(options="o")(Sample("2", "2", columns={"o": {"1": "x", "2": "y"}})).value == 1
    assert choice(options="o")(Sample("The answer is 2.", 1, columns={"o": {"1": "x", "2": "y"}})).value == 0


def test_a_number_without_options_says_what_to_write() -> None:
    """A right value of 3 may be an index or a label: the message asks for labels."""
    with pytest.raises(ExpectedError, match='labels = "1234"'):
        choice()(Sample("3", "3"))


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        ("b) Paris", "B", 1),
        ("b. Paris", "B", 1),
        ("I think (b)", "B", 1),
        ("There are two points: (a) cost, (b) time. So C.", "C", 1),
        ("P(A) = 0.5, hence (B)", "B", 1),
        ("Options A and B are wrong, which leaves C.", "C", 1),
        ("It is not A or B, so C", "C", 1),
        ("The answer cannot be A, so it is B", "B", 1),
        ("3.5", "3", None),
        ("$3 more, so option 2", "2", 1),
    ],
)
def test_small_letters_lists_and_denials(text: str, expected: str, value: float | None) -> None:
    """Small letters count with a bracket, what is said of a list of letters is said of each, and "cannot be A" denies A."""
    assert choice(labels="1234" if expected.isdecimal() else None)(Sample(text, expected)).value == value
