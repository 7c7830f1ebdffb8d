"""The letters that options have in the scripts of the world: data for the scorer choice, and how they are told from words.

Each alphabet has its letters in the order in which exams and textbooks use them. Letters of Arabic and Bengali that stand for A to D are
those of simple-evals' `normalize_extracted_answer` (github.com/openai/simple-evals, common.py); the others are common usage.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from batch.evaluation.scorers.number_syntax import JOINED
from batch.evaluation.scorers.texts import folded, normalised

LABELS = "ABCDEFGHIJ"
WORD = rf"[^\W{JOINED}]"
"""A sign of a word that goes on beside a letter; signs of scripts that put no spaces between words do not."""

_HAN = r"[\u3400-\u9fff]"
# Letters with case that no answer has stand in for the letters of an alphabet, so that one set of patterns reads all of them.
_FIRST_STAND_IN = 0x10400


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Letters of options, and what tells them from words.

    `words`: letters that are words, too; `closed`: those that, as all small ones, are letters only where
    no word follows; `prose`: what a word after such a
    word begins with, the inside of a set; `since`: words that follow the letter of an option. A letter stands apart where none of
    `joins` is beside it, or one of `before` or `after` is. `twofold`: letters that look like Latin ones of another place; `clear`: those
    that look like none. `reads_latin`: an answer may have these for A, B, C.
    """

    letters: str
    words: str = ""
    closed: str = ""
    prose: str = "a-z"
    since: str = ""
    joins: Sequence[str] = (WORD,)
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    twofold: str = ""
    clear: str = ""
    reads_latin: bool = True


_SINCE = "because|since|as|is|was|due|for|which|with|based|given|when|while|where|therefore|so|then|but|not|and|or|if"
LATIN = Alphabet(
    LABELS,
    words="AI",
    since=_SINCE,
    twofold="BEH",
    clear="DFG",
)
ALPHABETS: Mapping[str, Alphabet] = {
    "latin": LATIN,
    "cyrillic": Alphabet(
        "АБВГДЕЖЗИК",
        words="АВИК",
        prose="А-яЁёѐ-џҐґ",
        since="потому|так|поскольку|ибо|и|или|тому|бо|або|защото|јер",
        others={"С": "В"},
        twofold="ВЕ",
        clear="БГДЖЗИ",
    ),
    "greek": Alphabet("ΑΒΓΔΕΖΗΘΙΚ", words="Η", prose="ά-ώα-ω", since="γιατί|επειδή|διότι|και|ή", twofold="Η", clear="ΓΔΘ"),
    "arabic": Alphabet(
        "أبجدهوزحطي",
        closed="و",
        joins=(WORD, r"[\u0610-\u061a\u0640\u064b-\u065f\u0670]"),
        others={"ا": "أ", "إ": "أ", "آ": "أ", "الف": "أ", "ألف": "أ", "هـ": "ه", "ھ": "ه", "ی": "ي"},
    ),
    "hebrew": Alphabet("אבגדהוזחטי", joins=(WORD, r"[\u0591-\u05c7]", r'["-]\w', r'\w["-]')),
    "devanagari": Alphabet("कखगघङ", joins=(WORD, r"[\u0900-\u0963]")),
    "devanagari_abc": Alphabet("अबसद", joins=(WORD, r"[\u0900-\u0963]")),
    "bengali_abc": Alphabet("অবডঢ", joins=(WORD, r"[\u0980-\u09fe]")),
    "bengali": Alphabet("কখগঘঙ", joins=(WORD, r"[\u0980-\u09fe]")),
    "tamil": Alphabet("அஆஇஈஉ", joins=(WORD, r"[\u0b80-\u0bff]")),
    "georgian": Alphabet("აბგდევზთ"),
    "armenian": Alphabet("ԱԲԳԴԵԶ"),
    "ethiopic": Alphabet("ሀለሐመሠረ"),
    "thai": Alphabet(
        "กขคงจฉชซ",
        joins=(r"[\u0e00-\u0e7f]",),
        before=("ข้อ", "คือ", "เป็น", "ตอบ", "เลือก", "และ", "ไม่ใช่"),
        after=("คือ", "เป็น", "ถูก", "ผิด", "และ", "ครับ", "ค่ะ"),
    ),
    "lao": Alphabet("ກຂຄງ", joins=(r"[\u0e80-\u0eff]",)),
    "khmer": Alphabet("កខគឃង", joins=(r"[\u1780-\u17ff]",)),
    "burmese": Alphabet("ကခဂဃင", joins=(r"[\u1000-\u109f]",)),
    "katakana": Alphabet("アイウエオカキクケコ", joins=(r"[\u30a1-\u30fe]",)),
    "iroha": Alphabet("イロハニホヘト", joins=(r"[\u30a1-\u30fe]",), reads_latin=False),
    "hiragana": Alphabet("あいうえおかきくけこ", joins=(r"\w",)),
    "hangul": Alphabet(
        "가나다라마바사아자차",
        words="가나다라마바사아자차",
        prose="가-힣",
        joins=(r"\w",),
        after=("입니다", "이다", "이에요", "예요", "임", "번", "항"),
    ),
    "jamo": Alphabet("ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊ", joins=(r"[\u1100-\u11ff\u3130-\u318f]",)),
    "stems": Alphabet(
        "甲乙丙丁戊己庚辛壬癸",
        joins=(_HAN,),
        before=("是", "选", "選", "选择", "選擇", "为", "為", "答", "和", "与", "及", "第"),
        after=("是", "不", "项", "項", "和", "与", "及", "正确", "正確", "错", "錯", "对", "對"),
    ),
    "digits": Alphabet(
        "1234567890", words="1234567890", since=_SINCE, joins=(WORD, r"[.,:/]\d", r"\d[.,:/]", r"[$€£¥%°]"), reads_latin=False
    ),
}


class Letters:
    """The labels of a question's options, and the stand-ins for them that the patterns of choice.py look for.

    `labels`: in capitals. `stand_ins`: one sign for each label; `words`: those of them that are words, too.
    """

    def __init__(self, labels: str, alphabet: Alphabet) -> None:
        self.labels = labels.upper()
        self.alphabet = alphabet
        self._is_latin = alphabet is LATIN
        self.stand_ins = self.labels if self._is_latin else "".join(chr(_FIRST_STAND_IN + at) for at in range(len(self.labels)))
        self.words = "".join(sign for sign, label in zip(self.stand_ins, self.labels, strict=True) if label in alphabet.words)
        forms: dict[str, str] = {}
        for sign, label in zip(self.stand_ins, self.labels, strict=True):
            for form, own in ((label.lower(), sign.lower()), (label, sign)):
                forms[folded(form)] = own
            forms |= {folded(form): sign for form, meant in alphabet.others.items() if meant == label and form not in self.labels}
        self._forms = forms
        joins = alphabet.joins
        beside = "".join(f"(?<!{each})" for each in joins if _one_sign(each)), "".join(f"(?!{each})" for each in joins)
        more = "".join(f"|(?<={each})" for each in alphabet.before), "".join(f"|(?={each})" for each in alphabet.after)
        before = beside[0] + "".join(rf"(?<!{each})" for each in joins if not _one_sign(each))
        small = [word.lower() for word in alphabet.words if word.lower() != word]
        ends = {folded(form): r"(?=\s*(?:[^\w\s]|$))" for form in [*alphabet.closed, *small]}
        longest_first = "|".join(re.escape(form) + ends.get(form, "") for form in sorted(forms, key=len, reverse=True))
        # The apostrophe is the geresh of Hebrew letters: א'.
        self._apart = re.compile(rf"(?:{before}{more[0]})({longest_first})(?:(?:'|׳)?{beside[1]}{more[1]})")
        runs = "".join(re.escape(form) for form in forms if len(form) == 1)
        self._run = re.compile(rf"{before}[{runs}]{{2,}}{beside[1]}")

    def plain(self, text: str, *, runs: bool = False) -> str:
        """Fold a text, and put the stand-ins for the letters of options in it; with `runs` also for those side by side ("AC")."""
        text = folded(text)
        if text.isascii() and self._is_latin:
            return text
        text = "".join(map(self._uncircled, text))
        if self._is_latin:
            return text
        if runs:
            text = self._run.sub(lambda match: self._of_run(match[0]), text)
        return self._apart.sub(lambda match: self._forms[match[1]], text)

    def label(self, stand_in: str) -> str:
        """Return the label that a stand-in stands for."""
        return self.labels[self.stand_ins.index(stand_in.upper())]

    def label_of(self, expected: str) -> str | None:
        """Return the label that a right value is: alone, or with punctuation around it."""
        bare = "".join(map(self._uncircled, normalised(expected, case_sensitive=True))).strip("()'׳")
        sign = bare.upper() if self._is_latin else self._forms.get(bare, bare)
        return self.label(sign) if len(sign) == 1 and sign.upper() in self.stand_ins else None

    def has(self, text: str) -> bool:
        """Whether any of the letters is in a text."""
        return any(form in text for form in self._forms)

    def _of_run(self, run: str) -> str:
        # Letters of a list are in order; those of a word are not.
        return "".join(self._forms[sign] for sign in run) if list(run) == sorted(set(run), key=list(self._forms).index) else run

    def _uncircled(self, sign: str) -> str:
        if sign.isascii():
            return sign
        plain = _without_frame(sign)
        if plain is None:
            return "" if sign in _KEYCAP else sign
        known = plain if self._is_latin else self._forms.get(plain.upper(), self._forms.get(plain, ""))
        return f"({known.upper()})" if known and known.upper() in self.stand_ins else sign


_KEYCAP = "\ufe0f\u20e3"


def _one_sign(pattern: str) -> bool:
    return re.fullmatch(r"\[[^]]*\]|\\?.", pattern) is not None


@lru_cache(maxsize=1024)
def _without_frame(sign: str) -> str | None:
    """Return the letter or digit in a circle, a square or another script of mathematics; None for any other sign."""
    # Letters in black circles and squares have no decomposition.
    for first in (0x1F150, 0x1F170):
        if 0 <= ord(sign) - first < 26:
            return chr(ord("A") + ord(sign) - first)
    digit = unicodedata.digit(sign, None)
    if digit is not None and not unicodedata.decomposition(sign).startswith(("<super>", "<sub>")):
        return str(digit)
    if not unicodedata.decomposition(sign).startswith(("<circle>", "<square>", "<font>")):
        return None
    plain = folded(unicodedata.normalize("NFKC", sign))
    return plain if len(plain) == 1 and plain.isalnum() else None


@lru_cache(maxsize=256)
def letters_named(labels: str) -> Letters:
    """Return the letters that `labels` lists, with the habits of the first alphabet that has all of them."""
    plain = "".join(_without_frame(sign) or sign for sign in folded(labels)).upper()
    if plain.isascii() and plain.isalpha():
        return Letters(plain, LATIN)
    for alphabet in ALPHABETS.values():
        if set(plain) <= set(folded(alphabet.letters)) and len(set(plain)) == len(plain):
            return Letters(plain, alphabet)
    return Letters(labels, Alphabet(labels))


@lru_cache(maxsize=256)
def whole_alphabet(name: str) -> Letters:
    """Return all letters of an alphabet."""
    return Letters(folded(ALPHABETS[name].letters), ALPHABETS[name])


def letters_of(values: Sequence[str], *, digits: bool = False) -> Letters:
    """Return the letters of the first alphabet that has all of the values; the Latin ones where none has.

    Plain digits count as letters only with `digits`: without, they may be numbers of options.
    """
    for name in ALPHABETS:
        plain = name == "digits" and not digits and any(value.isascii() for value in values)
        if values and not plain and all(whole_alphabet(name).label_of(value) for value in values):
            return whole_alphabet(name)
    return whole_alphabet("latin")


def other_readings(letters: Letters, text: str) -> list[Letters]:
    """Return the other alphabets that an answer may have taken its letter from: those of other scripts for Latin letters, or Latin ones."""
    if letters.alphabet is not LATIN:
        return [whole_alphabet("latin")] if letters.alphabet.reads_latin else []
    if text.isascii():
        return []
    every = (whole_alphabet(name) for name, alphabet in ALPHABETS.items() if alphabet is not LATIN and alphabet.reads_latin)
    return [each for each in every if each.has(text)]
