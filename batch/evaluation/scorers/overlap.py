"""Graded scorers of how near a text is to the expected one: token_f1, rouge_l, edit, bleu, chrf. Of several, the nearest counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from batch.evaluation.scorers.extra import library
from batch.evaluation.scorers.sample import Sample, Scorer, scored
from batch.evaluation.scorers.texts import answer_text, expected_texts, folded, normalised, squad_tokens, words_apart
from batch.evaluation.table import ScoreValue

_WORD = re.compile(r"\w+")


def token_f1() -> Scorer:
    """The F1 of the words of answer and expected text, as SQuAD's evaluation has it (evaluate-v1.1.py)."""
    return _nearest(_token_f1)


def rouge_l() -> Scorer:
    """The F1 of the longest common subsequence of words (Lin 2004), without stemming, as the package rouge-score has it.

    Unlike there, words of all scripts count, not only those of ASCII. Needs the extra `eval`.
    """
    longest = library("rapidfuzz.distance", "rouge_l").LCSseq.similarity

    def measure(answer: str, expected: str) -> float:
        given, wanted = _words(answer), _words(expected)
        common = longest(given, wanted)
        return 2 * common / (len(given) + len(wanted)) if common else 0.0

    return _nearest(measure)


def edit(*, case_sensitive: bool = False) -> Scorer:
    """1 − Levenshtein distance ÷ length of the longer text, both normalised as `exact` does. Needs the extra `eval`."""
    similarity = library("rapidfuzz.distance", "edit").Levenshtein.normalized_similarity

    def measure(answer: str, expected: str) -> float:
        return float(similarity(normalised(answer, case_sensitive=case_sensitive), normalised(expected, case_sensitive=case_sensitive)))

    return _nearest(measure)


def bleu() -> Scorer:
    """BLEU of each answer by itself (sacrebleu, effective order), from 0 to 1; its mean is not the corpus BLEU. Needs the extra `eval`."""
    return _sacrebleu(library("sacrebleu", "bleu").BLEU(effective_order=True))


def chrf() -> Scorer:
    """chrF2 of each answer by itself (sacrebleu), from 0 to 1. Needs the extra `eval`."""
    return _sacrebleu(library("sacrebleu", "chrf").CHRF())


def _sacrebleu(metric: Any) -> Scorer:
    def measure(answer: str, expected: str) -> float:
        return min(1.0, max(0.0, float(metric.sentence_score(answer, [expected]).score) / 100))

    return _nearest(measure)


def _nearest(measure: Callable[[str, str], float]) -> Scorer:
    def score(sample: Sample) -> ScoreValue:
        wanted = expected_texts(sample.expected)
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        value, nearest = max(((measure(text, each), each) for each in wanted), key=lambda pair: pair[0])
        reason = (
            "empty answer" if not text.strip() else f"{value:z.2f} to the nearest of {len(wanted)}" if len(wanted) > 1 else f"{value:z.2f}"
        )
        return scored(value, text, reason if nearest or not text.strip() else f"{reason}; the expected text is empty")

    return score


def _token_f1(answer: str, expected: str) -> float:
    given, wanted = squad_tokens(answer), squad_tokens(expected)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def _words(text: str) -> list[str]:
    return _WORD.findall(words_apart(folded(text).lower()))
