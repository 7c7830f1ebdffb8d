"""Read the numbers in a text, as people and models write them, exactly (as fractions)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Decimal = Literal["auto", "point", "comma"]

_MAX_DIGITS = 400
_MAX_EXPONENT = 400
_SCALES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "mn": 6,
    "mio": 6,
    "billion": 9,
    "bn": 9,
    "trillion": 12,
    "k": 3,
    "m": 6,
    "b": 9,
    "万": 4,
    "萬": 4,
    "만": 4,
    "亿": 8,
    "億": 8,
    "억": 8,
}
_SPACES = "\u00a0\u2009\u202f"
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_CURRENCY = r"[$€£¥₹₩₽]|US\$|R\$|USD|EUR|GBP|CHF"
JOINED = r"\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Letters of scripts that put no space before a number or a letter of another script, Hangul among them; the inside of a set."""
# Signs with another look, one for one, so that places stay what they are. A full-width comma is a comma of prose except between digits.
_SIGNS = str.maketrans("０１２３４５６７８９＋－％＄．／￥⁄∕﹣﹪", "0123456789+-%$./¥//-%")
_WIDE_COMMA = re.compile(r"(?<=[０-９])，(?=[０-９])")

_NUMBER = re.compile(
    rf"""
    (?<![^\W{JOINED}])(?<!\.)(?<![A-Za-z][-–])(?<!\d:)(?!\d{{1,2}}:\d\d(?!\d))   # not within a word (H2O), a name (GPT-4) or a time
    (?P<minus>[-−]|(?<![\w)]\s)[-−]\s|(?<![\w)]\s)(?<![\w)])–|\b(?:minus|negative)\s+)?
    (?P<currency>(?:{_CURRENCY})\s?)?
    (?P<minus_after>[-−])?
    (?P<digits>(?:\d{{1,2}}(?:\ \d{{3}})+|\d{{3}}(?:\ \d{{3}}){{2,}})(?:[.,]\d+)?(?![\w/]|[.,\ ]\d)|\d[\d_]*(?:[.,'’{_SPACES}]\d+)*|\.\d+)
    (?:\^\s?\{{?\s?(?P<raised>[-+−]?\d+)\s?\}}?|(?P<superscript>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)|\s?[eE](?P<exponent>[-+−]?\d+)(?!\w)|\s?(?:×|x|\*|·|\\times|\\cdot)\s?10\s?(?:(?:\^|\*\*)\s?\{{?\s?(?P<power>[-+−]?\d+)\s?\}}?|(?P<super>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)))?
    (?P<vulgar>\s?[¼½¾⅐-⅞])?
    (?:\s?/\s?(?P<under>\d+)(?![/.,]?\d)|\s(?P<mixed_over>\d+)/(?P<mixed_under>\d+)(?![\d/]))?
    (?P<percent>\s?%|\s?\\%|\s(?:percent|per\ cent)\b)?
    (?:[\s-]?(?P<scale>hundred|thousand|million|mn|mio|billion|bn|trillion)\b|(?P<letter>[kKmMbB])\b|(?P<scale_joined>[万萬만亿億억]))?
    """,
    re.VERBOSE,
)
_VULGAR = re.compile(r"(?P<minus>[-−])?(?P<vulgar>[¼½¾⅐-⅞])(?P<percent>\s?%)?")
_LATEX_FRACTION = re.compile(
    r"(?P<whole>\d\s*)?\\[cdt]?frac\s*(?:\{\s*(?P<minus>[-−])?\s*(?P<over>\d+)\s*\}|(?P<over_digit>\d))\s*(?:\{\s*(?P<under>\d+)\s*\}|(?P<under_digit>\d))"
)
_LATEX_TEXT = re.compile(r"\\(?:text\w*|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_LATEX_NOISE = re.compile(r"\\[,;!: ]|\{,\}|\\(?=[$%])|\\(?:left|right|displaystyle)\b")
_LIST_MARK = re.compile(r"^[ \t>*#-]*(\d{1,3})[.)](?=[ \t]+\S)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: its literal `value` ("60%": 60, "3 million": 3), and what a percent sign or a scale makes of it."""

    value: Fraction
    start: int
    end: int
    text: str
    percent: bool = False
    scale: int = 0

    @property
    def meant(self) -> Fraction:
        """The value by the rules of arithmetic: "60%" is 0.6, "3 million" is 3,000,000."""
        return self.value if self.bare else (self.value / 100 if self.percent else self.value) * 10**self.scale

    @property
    def bare(self) -> bool:
        """Whether it has neither a percent sign nor a scale."""
        return not self.percent and not self.scale

    @property
    def whole(self) -> bool:
        """Whether it was written as an integer, so that it is exact."""
        return self.value.denominator == 1 and self.bare


def plain_latex(text: str) -> str:
    """Replace LaTeX's fractions, spaces and escapes by plain characters."""
    if "\\" not in text and "{" not in text:
        return text
    text = _LATEX_TEXT.sub(r" \1", text)
    text = _LATEX_FRACTION.sub(_plain_fraction, text)
    text = text.replace("\\approx", "≈")
    return _LATEX_NOISE.sub(lambda match: "," if match[0] == "{,}" else "", text)


def plain_signs(text: str) -> str:
    """Replace full-width digits, signs and fraction slashes by plain ones, keeping the length of `text`."""
    return text if text.isascii() else _WIDE_COMMA.sub(",", text).translate(_SIGNS)


def _plain_fraction(match: re.Match[str]) -> str:
    fraction = f"{match['minus'] or ''}{match['over'] or match['over_digit']}/{match['under'] or match['under_digit']}"
    return f"{match['whole'].strip()} {fraction}" if match["whole"] else fraction


def numbers(text: str, decimal: Decimal = "auto") -> Iterator[Number]:
    """Find the numbers in `text`, in order, except list numbers ("1. First …") and digits inside words and names.

    With `auto`, of "." and "," the one that stands last is the decimal sign where both occur; alone, "," before three digits groups
    thousands, and any other is the decimal sign.
    """
    marks = {match.start(1) for match in _LIST_MARK.finditer(text)}
    position = 0
    while position < len(text):
        match = _NUMBER.search(text, position)
        vulgar = _VULGAR.search(text, position, match.start() if match else len(text))
        if vulgar:
            position = vulgar.end()
            yield _from_vulgar(vulgar)
            continue
        if match is None:
            return
        position = match.end()
        if len(marks) > 1 and match.start("digits") in marks:
            position = match.end("digits")
            continue
        number = _from_match(match, decimal)
        if number is not None:
            yield number


def one_number(text: str, decimal: Decimal = "auto") -> Number | None:
    """Return the only number in `text`; None when there is none, or several."""
    found = list(numbers(plain_latex(plain_signs(text)), decimal))
    return found[0] if len(found) == 1 else None


def _from_vulgar(match: re.Match[str]) -> Number:
    value = _vulgar(match["vulgar"])
    return Number(-value if match["minus"] else value, match.start(), match.end(), match[0].strip(), percent=match["percent"] is not None)


def _vulgar(sign: str) -> Fraction:
    return Fraction(unicodedata.numeric(sign.strip())).limit_denominator(10)


def _from_match(match: re.Match[str], decimal: Decimal) -> Number | None:
    value = _value(match["digits"], decimal)
    exponent = int((match["exponent"] or match["power"] or (match["super"] or "0").translate(_SUPERSCRIPTS)).replace("−", "-")[:8])
    if value is None or abs(exponent) > _MAX_EXPONENT:
        return None
    if exponent:
        value *= Fraction(10) ** exponent
    if raised := match["raised"] or (match["superscript"] or "").translate(_SUPERSCRIPTS):
        power = int(raised.replace("−", "-")[:8])
        if abs(power) > _MAX_EXPONENT or len(match["digits"]) > 20 or (power < 0 and not value):
            return None
        value = Fraction(value**power)
    if match["vulgar"]:
        value += _vulgar(match["vulgar"])
    for over, under, base in ((value, match["under"], Fraction(0)), (match["mixed_over"], match["mixed_under"], value)):
        if under is not None:
            if len(under) > _MAX_DIGITS or not int(under):
                return None
            value = base + Fraction(over) / int(under)
    if match["minus"] or match["minus_after"]:
        value = -value
    word = (
        match["scale"]
        or match["scale_joined"]
        or (match["letter"] if match["letter"] and (match["currency"] or match["letter"] in "kK") else "")
        or ""
    ).lower()
    end = match.end() if word or not match["letter"] else match.start("letter")
    text = match.string[match.start() : end].strip()
    return Number(value, match.start(), end, text, percent=match["percent"] is not None, scale=_SCALES.get(word, 0))


def _value(digits: str, decimal: Decimal) -> Fraction | None:
    """Return the value of digits with separators; None for a version, a date or an address."""
    if len(digits) > _MAX_DIGITS:
        return None
    for sign in f"_'’ {_SPACES}":
        digits = digits.replace(sign, "")
    points, commas = digits.count("."), digits.count(",")
    mark = {"point": ".", "comma": ","}.get(decimal) or _decimal_mark(digits, points, commas)
    grouping = "," if mark == "." else "."
    whole, _, rest = digits.rpartition(mark) if mark in digits else (digits, "", "")
    if mark in whole or grouping in rest or not _grouped(whole, grouping):
        return None
    return Fraction(f"{whole.replace(grouping, '') or '0'}.{rest or '0'}")


def _decimal_mark(digits: str, points: int, commas: int) -> str:
    if points and commas:
        return max(".,", key=digits.rfind)
    if commas == 1:
        before, _, after = digits.partition(",")
        return "." if len(after) == 3 and len(before) <= 3 and before != "0" else ","
    return "," if points > 1 else "."


def _grouped(whole: str, grouping: str) -> bool:
    """Whether thousands (or, as in India, lakhs) are grouped as numbers are."""
    first, *groups = whole.split(grouping)
    return not groups or (1 <= len(first) <= 3 and len(groups[-1]) == 3 and all(len(group) in {2, 3} for group in groups))
