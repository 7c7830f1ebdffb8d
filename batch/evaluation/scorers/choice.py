"""The choice scorer: find which lettered option an answer takes, also when it says so in prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from batch.evaluation.scorers.answer_words import DENIALS, LINKS, NOUNS, words
from batch.evaluation.scorers.number_syntax import JOINED
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, as_text, expected_texts, folded, normalised
from batch.evaluation.table import ScoreValue

LABELS = "ABCDEFGHIJ"

_OPEN, _CLOSE = r"[\s(\[{*_\"'`:：（「『【“]*", r"[)\]}*_\"'`.,;:!。，、！？；：）」』】”]"
# A word that continues behind a label; letters of scripts that put no spaces between words do not.
_WORD = rf"[^\W{JOINED}]"
# "A" is also an article and "I" a pronoun: what may follow them where they are meant as a label.
_AFTER_ARTICLE = r"(?:because|since|as|is|was|due|for|which|with|based|given|when|while|where|therefore|so|then|but|not|and|or|if)\b"
_JOINTS = "and|or|und|oder|et|ou|y|o|e|en|of|oraz|lub|dan|atau"

_LABEL_GROUPS = ("closed", "plain", "joined", "article", "elsewhere")
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
    r"|(?:选项|選項)?(?:也|是)?(?:不对|不對|不正确|不是|错|錯)|は(?:間違|誤|違)|[은는]\s*틀"
)
_CONFIRMED_ELSEWHERE = (
    r"(?i:ist|est|es|é|è)\s+(?i:(?:die|la|le|a|il)\s+)?(?i:richtig|korrekt|correct|corret|juste|bonne|cert[ao]|esatt|giust)\w*"
)


class _Patterns:
    """Patterns of a statement of a label, from the clearest to the least clear. The patterns of denial are the same for all labels."""

    denied_before = re.compile(
        r"(?:\bnot|n't|n’t|\bnever|\brather\s+than|\binstead\s+of|\bneither|\bnor|\bexcept|\brules?\s+out|\beliminates?|\bexcludes?)\s+"
        r"(?:(?:be|the|choose|select|pick|go\s+with)\s+)?(?:(?:option|choice|answer)\s+)?[(*\"\[]*$"
        rf"|(?<![^\W{JOINED}])(?:{_DENIALS})\s*(?:选项)?[(*\"\[]*$",
        re.IGNORECASE,
    )
    denied_after = re.compile(
        r"[)*\"\]]*\s+(?:\w+ly\s+|also\s+)?(?:is|was|are|seems)\s+(?:\w+\s+)?(?:wrong|incorrect|false|not|out|eliminated|ruled)|[)*\"\]]*\s+isn't"
        rf"|[)*\"\]]*\s*(?:{_DENIED_ELSEWHERE})",
        re.IGNORECASE,
    )

    def __init__(self, labels: str) -> None:
        upper, lower = re.escape(labels.upper()), re.escape(labels.lower())
        plain = "".join(label for label in labels.upper() if label not in "AI")
        label = (
            rf"(?:(?P<closed>[{upper}{lower}])(?=\s*(?:{_CLOSE}|$))|(?P<plain>[{re.escape(plain)}])(?!{_WORD}|')"
            rf"|(?P<joined>[{upper}])(?=[{JOINED}])|(?P<article>A)(?=\s+(?:{_AFTER_ARTICLE}|[^\sa-z])))"
            if plain
            else rf"(?P<closed>[{upper}{lower}])(?=\s*(?:{_CLOSE}|$))"
        )
        self.only = re.compile(rf"\W*([{upper}{lower}])\W*")
        cue = (
            r"(?:\\boxed\s*\{\s*(?:\\text\w*\s*\{)?|####\s*"
            r"|\b(?i:(?:answer|choice|option)\b(?P<between>[^\n.]{0,40}?(?:\bis\b|\bbe\b|\bwas\b|'s\b|’s\b|:|=|→)))"
            rf"|{_DECLARED_ELSEWHERE}"
            r"|\b(?i:choose|select|pick|go(?:ing)?\s+with|opt\s+for|settle\s+on)\b)"
            rf"(?i:\s*\b(?:clearly|therefore|thus|definitely|option|choice|answer|letter|are)\b)*{_OPEN}"
        )
        self.declared = re.compile(cue + label)
        self.confirmed = re.compile(
            rf"(?<![\w'])(?P<closed>[{upper}])[)*\"]*\s+(?i:is|was|must\s+be)\s+(?i:\w+ly\s+)?(?i:the\s+)?"
            r"(?i:correct|right|best|true|answer|one)\b"
            rf"|(?<![\w'])(?P<elsewhere>[{upper}])[)*\"]*\s+{_CONFIRMED_ELSEWHERE}"
        )
        self.line = re.compile(rf"^[ \t>#*_(\[\-]*([{upper}])(?:[)\]*_]*[.:)\]]|[)\]*_]+(?=\s|$)|[ \t]*$)", re.MULTILINE)
        self.marked = re.compile(rf"(?:\(|\[|\*\*|__|`|\")\(?([{upper}])\)?(?:\)|\]|\*\*|__|`|\")(?!\w)")
        self.labels = labels.upper()
        joints = r"(?:,|;|/|&|\+|、|，|\b(?:and|und|et|y|e|en|oraz|dan|и)\b|和|及|と)"
        several = rf"[{upper}](?:(?:[)*\"\]]*\s*{joints}+\s*(?:(?i:option)\s+)?[(*\"\[]*)?[{upper}](?!{_WORD}{{2}}))*(?!{_WORD})"
        self.several = re.compile(several)
        # "The answers are": for one right option that is a list of all of them.
        plural = cue.replace("option)\\b", "option)s?\\b").replace("\\bis\\b", "\\b(?:is|are)\\b")
        self.declared_all = re.compile(rf"{plural}(?P<run>{several})")
        self.bare = re.compile(rf"(?<!{_WORD})(?<!['.&/+-])([{upper}])(?!{_WORD}|['&/+#-])")
        # "A and B": no article stands before a joint and another label.
        second = rf"(?:[{upper}](?<![AI])|[AI](?!\s+[a-z]))(?!{_WORD}|')"
        self.joint = re.compile(rf"[)*\"\]]*\s*,?\s*(?:{_JOINTS})\s+(?:(?i:option)\s+)?[(*\"\[]*{second}")
        self.listed = re.compile(rf"\s*{_CLOSE}*\s*(?:,\s*)?(?:(?:or|and)\b|[,/&])\s*(?:(?i:option)\s*)?[(*\"]*([{upper}])(?!{_WORD}|')")


def choice(*, labels: str = LABELS, options: str | None = None, need: Literal["any", "all"] = "any") -> Scorer:
    """Score 1 when the answer takes the expected option: its letter or, with `options`, its text or its number from 0.

    `options` names the column with the options' texts: a list, or a table by label. An answer that states several options without
    settling on one, or none, is unscored; of several clear statements ("the answer is …") the last counts.
    Of several right options, any one is right; with `need` "all", the answer must take all of them ("A and C", "AC") and no other one.
    """
    patterns = _Patterns(labels)

    def score(sample: Sample) -> ScoreValue:
        texts = _options(sample.columns.get(options), labels) if options else {}
        if need == "all":
            wanted = _labels_of(sample.expected, labels, texts)
        else:
            wanted = [label for each in expected_texts(sample.expected) if (label := _label_of(each, labels, texts))]
        if not wanted:
            raise ExpectedError(f"the expected value is none of {', '.join(texts or labels)}")
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        if need == "all":
            taken = _all_chosen(folded(text), patterns)
            return (
                scored(taken == sorted(wanted), "".join(taken), "the letters that it states") if taken else unscored("no option is named")
            )
        found, reason = _chosen(folded(text), patterns, texts)
        if found is None:
            return unscored(reason)
        return scored(found in wanted, found, reason)

    return score


def _chosen(text: str, patterns: _Patterns, texts: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the label that an answer takes and the words that say so; or None and the reason."""
    if only := patterns.only.fullmatch(text):
        return only[1].upper(), "the letter alone"
    if (declared := _declared(text, patterns)) is not None:
        return declared
    whole = normalised(text)
    if texts and (same := [label for label, each in texts.items() if normalised(each) == whole]):
        return (same[0], "the option's text") if len(same) == 1 else (None, "several options have this text")
    for pattern, reason in (
        (patterns.line, "the letter before the text"),
        (patterns.marked, "a marked letter"),
        (patterns.bare, "the only letter"),
    ):
        found = _letters(pattern, text, patterns)
        if len(found) == 1:
            return found[0], reason
        if found:
            return None, f"ambiguous: {', '.join(found)}"
    named = [label for label, each in texts.items() if each and re.search(rf"(?<!\w){re.escape(normalised(each))}(?!\w)", whole)]
    if len(named) == 1:
        return named[0], "the option's text"
    return None, f"ambiguous: the texts of {', '.join(named)}" if named else "no option is named" if text.strip() else "empty answer"


def _declared(text: str, patterns: _Patterns) -> tuple[str | None, str] | None:
    """Return the last clear statement; an ambiguous one when it names two labels; None when there is no statement."""
    last: tuple[str | None, str] | None = None
    found = [*patterns.declared.finditer(text), *patterns.confirmed.finditer(text)]
    for match in sorted(found, key=re.Match.end):
        groups = match.groupdict()
        label = next(caught for name in _LABEL_GROUPS if (caught := groups.get(name))).upper()
        start, end = next(match.span(name) for name in _LABEL_GROUPS if groups.get(name))
        before = text[max(0, match.start() - 40) : match.start()]
        denied = patterns.denied_before.search(before) or re.search(r"\bnot\b|n't", groups.get("between") or "")
        if denied or _denied(start, end, text, patterns):
            continue
        if (other := patterns.listed.match(text, end)) and other[1] != label:
            last = None, f"ambiguous: {label}, {other[1]}"
        else:
            last = label, "stated"
    return last


def _letters(pattern: re.Pattern[str], text: str, patterns: _Patterns) -> list[str]:
    """Return the labels that `pattern` finds, each once, except articles, pronouns, and labels that the answer denies."""
    found: dict[str, None] = {}
    for match in pattern.finditer(text):
        start, end = match.span(1)
        is_word = match[1] in "AI" and re.match(r"\s+[a-z]", text[end : end + 9]) and not patterns.joint.match(text, end)
        if pattern is patterns.bare and is_word and not re.search(r"(?i:option|choice|answer)\s$", text[max(0, start - 9) : start]):
            continue
        if not _denied(start, end, text, patterns):
            found[match[1]] = None
    return list(found)


def _denied(start: int, end: int, text: str, patterns: _Patterns) -> bool:
    return patterns.denied_before.search(text[max(0, start - 40) : start]) is not None or patterns.denied_after.match(text, end) is not None


def _options(value: Any, labels: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(label).strip().upper(): as_text(text) for label, text in value.items() if text is not None}
    items: Iterable[Any] = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return {label.upper(): as_text(text) for label, text in zip(labels, items, strict=False)}


def _labels_of(expected: Any, labels: str, texts: Mapping[str, str]) -> list[str]:
    """Return the labels that an expected value means, each once: of a list, of "A, C" or of "AC"."""
    values = expected_texts(expected)
    if len(values) == 1 and _label_of(values[0], labels, texts) is None:
        letters = [sign for sign in values[0].upper() if sign.isalnum()]
        values = letters if all(sign in labels.upper() for sign in letters) else values
    found = [_label_of(each, labels, texts) for each in values]
    return [] if None in found else list(dict.fromkeys(label for label in found if label))


def _all_chosen(text: str, patterns: _Patterns) -> list[str]:
    """Return the labels that an answer takes, in alphabetical order: those of its last statement, or of the whole answer without one."""
    denied = patterns.denied_before
    runs = [match["run"] for match in patterns.declared_all.finditer(text) if not denied.search(text[: match.start()][-40:])]
    bare = text.strip(" \t\r\n.*_()[]")
    if runs or patterns.several.fullmatch(bare):
        return sorted({sign for sign in (runs[-1] if runs else bare) if sign in patterns.labels})
    confirmed = {match["closed"] or match["elsewhere"] for match in patterns.confirmed.finditer(text)}
    return sorted(confirmed or _letters(patterns.bare, text, patterns))


def _label_of(expected: str, labels: str, texts: Mapping[str, str]) -> str | None:
    """Return the label that an expected value means: it may be a label, an option's number from 0, or an option's text."""
    known = list(texts) or list(labels.upper())
    bare = normalised(expected).upper()
    if bare in known:
        return bare
    same = [label for label, text in texts.items() if normalised(text) == normalised(expected)]
    if len(same) == 1:
        return same[0]
    return known[int(bare)] if texts and bare.isdecimal() and int(bare) < len(known) else None
