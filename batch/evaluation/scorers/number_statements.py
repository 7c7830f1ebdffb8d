r"""Choose the number that an answer gives among those in it: the boxed one, the one after "####" or "the answer is", else the last.

Only a clear statement beats the last number: words such as "total", "result" or "solution" name intermediate steps as often.
Measured on labelled answers of models to GSM8K's questions, where the last number alone is right in nearly all cases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batch.evaluation.scorers.answer_words import LINKS, NOUNS, words
from batch.evaluation.scorers.number_syntax import Decimal, Number, numbers, plain_latex, plain_signs

# How many statements are looked through, from the last one: a text that only repeats "the answer is" must not take long.
_MOST_STATEMENTS = 20
_LONGEST_BOX = 2_000

_BOXED = re.compile(r"\\f?boxed\s*\{")
# "#### 42", the end of a solution as in GSM8K; "#### 1. Add them" and "#### Step 1" are headings.
_HASHED = re.compile(r"####[ \t*]*+(?=[-−+]?\s?[$€£¥₹]?\s?[-−]?\.?\d)(?!\d{1,3}[.)]\s+\S)(?P<said>[^\n]{1,60})(?=\n|$)")
_NOUN = "|".join(words(NOUNS, without=["zh", "ja", "ko", "th"]))
_NOUN_JOINED = "|".join(words({key: NOUNS[key] for key in ("zh", "ja", "ko", "th")}))
_LINK = "|".join(re.escape(word) for word in words(LINKS, without=["zh", "ja", "ko", "th", "ru", "uk"]))
_LINK_JOINED = "|".join(words({key: LINKS[key] for key in ("zh", "ja", "ko", "th")}))
_DECLARED = re.compile(
    rf"\b(?P<final>(?i:final|finale|endgültige|correct)\s+)?(?i:{_NOUN})\b(?:[^\n:：=]{{0,60}}?\b(?i:{_LINK})\b|[^\n:：=]{{0,40}}?(?P<colon>\**[:：=—–]\**))"
    r"|\b[Ff](?:inal|INAL)\**\s*[:：](?=[\s*_]*[$€£¥₹]?[-−+]?\s?[$€£¥₹]?\.?\d)"
    rf"|(?:{_NOUN_JOINED})[^\n。:：=]{{0,12}}?(?:{_LINK_JOINED}|[:：])"
)
# What may stand between "Answer:" and its number; with anything else the colon begins a solution.
_AT_ONCE = re.compile(
    r"[\s*_$€£¥₹(\[\"'~≈]*(?:(?i:about|approximately|roughly|exactly|only|just|[a-z]\s*=)\s*)?[$€£¥₹*]*[-−+]?\s?[$€£¥₹]?\.?\d"
)
# "<answer>18</answer>", as prompts of reasoning models ask for, and a heading such as "**Final Answer**" above the line of the number.
_TAGGED = re.compile(r"<(?P<tag>(?:final[_ ]?)?answer|final|solution)>(?P<said>[^<]{1,400})(?:</(?P=tag)>|$)", re.IGNORECASE)
_HEADED = re.compile(
    rf"^[ \t#*_]*(?i:(?:the\s+)?(?:final\s+)?(?:{_NOUN}))[ \t*_]*\n\s*"
    r"(?=[\s*_$€£¥₹]*[-−+]?\s?[$€£¥₹]?\.?\d)(?P<said>[^\n]{1,80})(?=\n|$)",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s+[A-Z]|\s*$)|[。！？]")
_DENIED = re.compile(
    r"(?:\bnot|n't|n’t|\brather\s+than|\binstead\s+of|\bnever|不是|并非)\s*(?:exactly\s+|just\s+|only\s+)?[$€£*\"'(]*$", re.IGNORECASE
)
_CORRECTED = re.compile(
    r"\b(?:wait\b|oops\b|correction\b|on second thought|I (?:made|have made) an? (?:mistake|error)"
    r"|that(?:'s|’s| is) (?:wrong|incorrect|not right))"
    r"|(?:^|[.!?]\s+)(?:Actually|Sorry),",
    re.IGNORECASE | re.MULTILINE,
)
# A model that runs on writes the next question of its examples.
_NEXT_QUESTION = re.compile(
    r"^[ \t]*(?:#{1,3}[ \t]*|\*\*)?(?:Question|Q|Problem|Exercise|Human|User|Instruction|问题|問題|질문)(?:[ \t]*\d+)?\**[ \t]*[:：]",
    re.MULTILINE | re.IGNORECASE,
)
_SHORT_ANSWER = re.compile(r"^A[ \t]*[:：][^\n]*\d", re.MULTILINE)
_RESULT = re.compile(r"=\s*[$€£¥₹]?\s?[-−]?\.?\d")


@dataclass(frozen=True, slots=True)
class Given:
    """The number that an answer gives and where it was found; or None, the reason, and the text found instead (`shown`).

    `at_end` says that nothing follows the number.
    """

    number: Number | None
    reason: str
    shown: str | None = None
    at_end: bool = False


def given_number(text: str, decimal: Decimal, which: str) -> Given:
    """Return the number that `text` gives; `which` (last, first, only) chooses one where no statement does."""
    plain = plain_latex(plain_signs(text))
    plain = _before_next_question(plain)
    given = _stated(plain, decimal)
    if given is None:
        given = _of_all(plain, decimal, which)
    found = given.number
    return given if found is None else replace(given, at_end=not plain[found.end :].strip(" \t\r\n}"))


def _before_next_question(text: str) -> str:
    """Cut the text where the model, having answered, begins another question of its own."""
    answered = [found.end() for pattern in (_HASHED, _BOXED, _DECLARED, _SHORT_ANSWER) if (found := pattern.search(text))]
    following = _NEXT_QUESTION.search(text, min(answered)) if answered else None
    return text if following is None else text[: following.start()]


def _of_all(text: str, decimal: Decimal, which: str) -> Given:
    every = list(numbers(text, decimal))
    found = _allowed(text, every)
    if not found:
        reason = "only numbers that it denies" if every else "no number in the answer" if text.strip() else "empty answer"
        return Given(None, reason)
    if len(found) == 1:
        return Given(found[0], "the only number")
    if which == "only":
        return Given(None, f"ambiguous: {len(found)} numbers")
    return Given(found[-1], "the last number") if which == "last" else Given(found[0], "the first number")


def _allowed(text: str, every: Sequence[Number]) -> list[Number]:
    """Return the numbers that the text does not deny."""
    return [each for each in every if not _DENIED.search(text[max(0, each.start - 30) : each.start])]


def _stated(text: str, decimal: Decimal) -> Given | None:
    """Return the number of a statement that the text does not take back later; None without one."""
    for find in _STATEMENTS:
        found = find(text, decimal)
        if found is None:
            continue
        given, end = found
        corrections = list(_CORRECTED.finditer(text, end))
        if not corrections:
            return given
        start = corrections[-1].end()
        later = [found[0] for find in _STATEMENTS if (found := find(text[start:], decimal))]
        corrected = later[0] if later else _of_all(text[start:], decimal, "last")
        if corrected.number is None:
            return given
        return replace(corrected, number=_moved(corrected.number, start), reason="a correction")
    return None


def _moved(number: Number, by: int) -> Number:
    return replace(number, start=number.start + by, end=number.end + by)


def _in_box(text: str, decimal: Decimal) -> tuple[Given, int] | None:
    r"""Return the content of the last \boxed{}: its number, or None for anything but a plain number."""
    boxes = list(_BOXED.finditer(text))
    if not boxes:
        return None
    last = boxes[-1]
    start, end = last.end(), _closing(text, last.end())
    inside = text[start:end]
    after = max(inside.rfind("="), inside.rfind("≈")) + 1
    value = _UNIT_POWER.sub("", inside[after:])
    found = list(numbers(value, decimal))
    if len(found) != 1 or "_" in found[0].text or not _is_plain(value, found[0]):
        return Given(None, "the boxed answer is not a plain number", inside.strip()), end
    return Given(_moved(found[0], start + after), "boxed"), end


_UNIT_POWER = re.compile(r"(?<=[^\W\d_])(?:\^\{?[23]\}?|[²³])")
# Possessive: words of letters could be split in exponentially many ways.
_UNIT = re.compile(r"(?:[^\W\d_]{2,}+\.?+|[mgshlLKCFJNVWAΩ%°$€£¥₹]|\^\{?(?:°|\\circ)\}?|[\s/·.*_,~\-{}])*+")


def _is_plain(text: str, number: Number) -> bool:
    """Whether there is nothing beside the number but units and words: "18 dollars" is plain, "3x", "5!" and "2√3" are not."""
    before, after = text[: number.start], text[number.end :]
    return "\\" not in after.replace("\\circ", "") and all(_UNIT.fullmatch(part) is not None for part in (before, after))


def _closing(text: str, start: int) -> int:
    depth = 1
    for place in range(start, min(len(text), start + _LONGEST_BOX)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return min(len(text), start + _LONGEST_BOX)


def _after_hashes(text: str, decimal: Decimal) -> tuple[Given, int] | None:
    """Return the number after the first "####". A model that continues after its answer may write more of them."""
    for match in _HASHED.finditer(text):
        found = next(numbers(match["said"], decimal), None)
        if found is not None:
            return Given(_moved(found, match.start("said")), "stated"), match.end()
    return None


def _declared(text: str, decimal: Decimal) -> tuple[Given, int] | None:
    """Return the number of the last sentence such as "the answer is 5"."""
    for match in [*_DECLARED.finditer(text)][: -1 - _MOST_STATEMENTS : -1]:
        start = match.end()
        start += len(text[start:]) - len(text[start:].lstrip())
        stop = _SENTENCE_END.search(text, start)
        end = stop.start() if stop else len(text)
        said = text[start:end]
        if match["colon"] and not match["final"] and not _AT_ONCE.match(said):
            continue
        # "Answer: 48 / 2 = 24. Then 24 + 48 = 72": the sentence is the first step of a solution.
        if match["colon"] and _RESULT.search(said) and _RESULT.search(text, end):
            continue
        found = _allowed(said, list(numbers(said, decimal)))
        # "The answer is 5 + 3 = 8": what follows the last sign of equality.
        after = said.rfind("=")
        chosen = next((each for each in found if each.start > after), found[0] if found else None)
        if chosen is not None:
            return Given(_moved(chosen, start), "stated"), end
    return None


def _tagged(text: str, decimal: Decimal) -> tuple[Given, int] | None:
    """Return the number of the last tag of an answer: what it states, or its last number."""
    for match in reversed(list(_TAGGED.finditer(text))):
        found = (_declared(match["said"], decimal) or (_of_all(match["said"], decimal, "last"), 0))[0].number
        if found is not None:
            return Given(_moved(found, match.start("said")), "stated"), match.end()
    return None


def _headed(text: str, decimal: Decimal) -> tuple[Given, int] | None:
    """Return the number of the line below the last heading such as "Final Answer"."""
    for match in reversed(list(_HEADED.finditer(text))):
        found = _allowed(match["said"], list(numbers(match["said"], decimal)))
        after = match["said"].rfind("=")
        chosen = next((each for each in found if each.start > after), None)
        if chosen is not None:
            return Given(_moved(chosen, match.start("said")), "stated"), match.end()
    return None


_STATEMENTS = (_in_box, _tagged, _after_hashes, _declared, _headed)
"""What states a number, from the clearest to the least clear."""
