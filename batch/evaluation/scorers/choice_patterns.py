"""How an answer says which option it takes: patterns of a statement, from the clearest to the least clear."""

from __future__ import annotations

import re
from functools import lru_cache

from batch.evaluation.scorers.answer_words import DENIALS, LINKS, NOUNS, words
from batch.evaluation.scorers.number_syntax import JOINED
from batch.evaluation.scorers.option_letters import WORD, Letters

_OPEN, _CLOSE = r"[\s(\[{*_\"'`:：（「『【“]*", r"[)\]}*_\"'`.,;:!。，、！？；：）」』】”]"
_JOINTS = "and|or|und|oder|et|ou|y|o|e|en|of|oraz|lub|dan|atau|и|или|και|ή"
_LONGEST_LIST = 8
_SPACELESS = ("zh", "ja", "ko", "th")
_NOUNS, _LINKS = ("|".join(map(re.escape, words(table, without=["en", *_SPACELESS]))) for table in (NOUNS, LINKS))
_NOUNS_JOINED, _LINKS_JOINED = ("|".join(words({key: table[key] for key in _SPACELESS})) for table in (NOUNS, LINKS))
# "Die Antwort ist nicht B" is no statement: between the link and the letter stands nothing.
_DECLARED_ELSEWHERE = (
    rf"\b(?i:{_NOUNS})\b[^\n.:：]{{0,40}}?(?:(?<!\w)(?i:{_LINKS})(?!\w)|[:：])"
    rf"|(?:{_NOUNS_JOINED})[^\n。:：]{{0,12}}?(?:{_LINKS_JOINED}|[:：])|选择?|選擇?"
)
_DENIALS = "|".join(words(DENIALS))
# What follows a letter that is denied: "ist falsch", "es incorrecta", "不对", "は間違い", "는 틀렸".
_DENIED_ELSEWHERE = (
    rf"(?:(?:ist|sind|est|es|é|è|to)\s+)(?:{_DENIALS})"
    r"|(?:选项|選項)?(?:也|是)?(?:不对|不對|不正确|不是|错|錯)|は(?:間違|誤|違)|[은는이]\s*(?:틀|아니)"
    r"|(?:[—–-]\s*)?(?:неверн|неправильн|не\s+(?:подходит|верн|правильн))|είναι\s+λάθος|ผิด|(?:هي|هو)?\s*(?:خطأ|خاطئ|غير)|שגוי|לא\s+נכו"
)
_CONFIRMED_ELSEWHERE = (
    r"(?:(?i:ist|est|es|é|è)\s+(?i:(?:die|la|le|a|il)\s+)?(?i:richtig|korrekt|correct|corret|juste|bonne|cert[ao]|esatt|giust)"
    r"|(?:[—–-]\s*)?(?:верн|правильн)|είναι\s+(?:η\s+)?σωστ|(?:هي|هو)\s+(?:ال)?(?:إجابة|صحيح)|נכו)\w*"
)


@lru_cache(maxsize=256)
def patterns_of(letters: Letters) -> Patterns:
    """Return the patterns for these letters, made once."""
    return Patterns(letters)


class Patterns:
    """Patterns of a statement of a label. The patterns of denial are the same for all labels."""

    denied_before = re.compile(
        r"(?:\bnot|\bcannot|n't|n’t|\bnever|\brather\s+than|\binstead\s+of|\bneither|\bnor|\bexcept|\brules?\s+out|\beliminates?|\bexcludes?)\s+"
        r"(?:(?:be|the|choose|select|pick|go\s+with)\s+)?(?:(?:option|choice|answer)\s+)?[(*\"\[]*$"
        rf"|(?<![^\W{JOINED}])(?:{_DENIALS})\s*(?:选项|вариант|ข้อ)?\s*[(*\"\[]*$",
        re.IGNORECASE,
    )
    denied_after = re.compile(
        r"[)*\"\]]*\s+(?:\w+ly\s+|also\s+)?(?:is|was|are|seems)\s+(?:\w+\s+)?(?:wrong|incorrect|false|not|out|eliminated|ruled)|[)*\"\]]*\s+isn't"
        rf"|[)*\"\]]*\s*(?:{_DENIED_ELSEWHERE})",
        re.IGNORECASE,
    )

    def __init__(self, letters: Letters) -> None:
        upper, lower = re.escape(letters.stand_ins), re.escape(letters.stand_ins.lower())
        alphabet = letters.alphabet
        self.word_follows = re.compile(rf"\s+[{alphabet.prose}]")
        self.words = letters.words
        label = self._label(letters, upper, lower)
        self.only = re.compile(rf"\W*([{upper}{lower}])\W*")
        cue = (
            r"(?:\\boxed\s*\{\s*(?:\\text\w*\s*\{)?|####\s*"
            r"|\b(?i:(?:answer|choice|option)\b(?P<between>[^\n.]{0,40}?(?:\bis\b|\bbe\b|\bwas\b|'s\b|’s\b|:|=|→)))"
            rf"|\b[Ff](?:inal|INAL)\**\s*:|{_DECLARED_ELSEWHERE}"
            r"|\b(?i:choose|select|pick|go(?:ing)?\s+with|opt\s+for|settle\s+on)\b)"
            rf"(?i:\s*\b(?:clearly|therefore|thus|definitely|option|choice|answer|letter|are|вариант|ข้อ)\b)*{_OPEN}"
        )
        self.declared = re.compile(cue + label)
        self.confirmed = re.compile(
            rf"(?<![\w'])(?P<closed>[{upper}])[)*\"]*\s+(?i:is|was|must\s+be)\s+(?i:\w+ly\s+)?(?i:the\s+)?"
            r"(?i:correct|right|best|true|answer|one)\b"
            rf"|(?<![\w'])(?P<elsewhere>[{upper}])[)*\"]*\s+{_CONFIRMED_ELSEWHERE}"
        )
        self.line = re.compile(rf"^[ \t>#*_(\[\-]*([{upper}])(?:[)\]*_]*[.:)\]]|[)\]*_]+(?=\s|$)|[ \t]*$)", re.MULTILINE)
        # "f(A)" is no mark.
        self.marked = re.compile(rf"(?:(?<!{WORD})\(|\[|\*\*|__|`|\")\(?([{upper}])\)?(?:\)|\]|\*\*|__|`|\")(?!\w)")
        self.small_line = re.compile(rf"^[ \t>#*_(\[\-]*([{lower}])[*_]*(?:[)\]]|[.](?=[ \t]+\S{{2}}))", re.MULTILINE)
        self.small_marked = re.compile(rf"(?:(?<!{WORD})\(|\*\*)\(?([{lower}])\)?(?:\)|\*\*)(?!\w)")
        self._of_lists(letters, upper, cue)

    def _of_lists(self, letters: Letters, upper: str, cue: str) -> None:
        """Make the patterns of several letters beside each other."""
        alphabet = letters.alphabet
        self.labels = letters.stand_ins
        joints = r"(?:,|;|/|&|\+|、|，|،|\b(?:and|und|et|y|e|en|oraz|dan|и|και)\b|和|及|と|와|과|และ|\bو\s)"
        several = rf"[{upper}](?:(?:[)*\"\]]*\s*{joints}+\s*(?:(?i:option)\s+)?[(*\"\[]*)?[{upper}](?!{WORD}{{2}}))*(?!{WORD})"
        self.several = re.compile(several)
        # "A and B are wrong", "not A or B": what is said of a list is said of each.
        link = rf"[)*\"\]]*\s*(?:{joints}|/|\bor\b|\bnor\b|\bили\b|أو|หรือ|或)+\s*(?:(?i:option)\s+)?[(*\"\[]*"
        self.rest_of_list = re.compile(rf"(?:{link}[{upper}](?!{WORD})){{0,{_LONGEST_LIST}}}")
        self.list_before = re.compile(rf"(?:(?<!{WORD})[{upper}]{link})+$")
        # "The answers are": for one right option that is a list of all of them.
        plural = cue.replace("option)\\b", "option)s?\\b").replace("\\bis\\b", "\\b(?:is|are)\\b")
        self.declared_all = re.compile(rf"{plural}(?P<run>{several})")
        self.bare = re.compile(rf"(?<!{WORD})(?<!['.&/+-])([{upper}])(?!{WORD}|['&/+#-])")
        # "A and B": no article stands before a joint and another label.
        plain = "".join(sign for sign in letters.stand_ins if sign not in letters.words)
        words_then = rf"[{letters.words}](?!\s+[{alphabet.prose}])" if letters.words else None
        second = "|".join([*([f"[{re.escape(plain)}]"] if plain else []), *([words_then] if words_then else [])])
        self.joint = re.compile(rf"[)*\"\]]*\s*,?\s*(?:{_JOINTS})\s+(?:(?i:option)\s+)?[(*\"\[]*(?:{second})(?!{WORD}|')")
        self.listed = re.compile(
            rf"\s*{_CLOSE}*\s*(?:,\s*)?(?:(?:or|and|или|и|ή|και|או)\b|أو|หรือ|或|또는|か|[,/&])\s*(?:(?i:option)\s*)?[(*\"]*([{upper}])(?!{WORD}|')"
        )

    @staticmethod
    def _label(letters: Letters, upper: str, lower: str) -> str:
        closed = rf"(?P<closed>[{upper}{lower}])(?=\s*(?:{_CLOSE}|$))"
        plain = "".join(sign for sign in letters.stand_ins if sign not in letters.words)
        # "A" is also an article and "I" a pronoun: what may follow them where they are meant as a label.
        articles = letters.words.replace("I", "")
        others = [rf"(?P<plain>[{re.escape(plain)}])(?!{WORD}|')" if plain else None]
        others.append(rf"(?P<joined>[{upper}])(?=[{JOINED}])")
        after = rf"(?:{letters.alphabet.since})\b|" if letters.alphabet.since else ""
        others.append(rf"(?P<article>[{articles}])(?=\s+(?:{after}[^\s{letters.alphabet.prose}]))" if articles else None)
        return f"(?:{'|'.join([closed, *filter(None, others)])})"
