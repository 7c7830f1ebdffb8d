"""Graded scorers of the similarity to the expected text: token_f1, rouge_l, edit, bleu, chrf. Of several, the most similar counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers.extra import library
from batch.evaluation.scorers.sample import Sample, Scorer, scored
from batch.evaluation.scorers.texts import answer_text, expected_texts, folded, normalised, squad_tokens, words_apart
from batch.evaluation.table import ScoreValue

_WORD = re.compile(r"\w+")


def token_f1() -> Scorer:
    """Compute the F1 of the words of answer and expected text, as SQuAD's evaluation does (evaluate-v1.1.py)."""
    return _nearest(_token_f1)


def rouge_l() -> Scorer:
    """Compute the F1 of the longest common subsequence of words (Lin 2004), without stemming, as the package rouge-score does.

    Unlike there, words of all scripts count, not only those of ASCII. Needs the extra `eval`.
    """
    longest = library("rapidfuzz.distance", "rouge_l").LCSseq.similarity

    def measure(answer: str, expected: str) -> float:
        given, wanted = _words(answer), _words(expected)
        common = longest(given, wanted)
        return 2 * common / (len(given) + len(wanted)) if common else 0.0

    return _nearest(measure)


def edit(*, case_sensitive: bool = False) -> Scorer:
    """Compute 1 − Levenshtein distance ÷ length of the longer text, both normalised as `exact` does. Needs the extra `eval`."""
    similarity = library("rapidfuzz.distance", "edit").Levenshtein.normalized_similarity

    def measure(answer: str, expected: str) -> float:
        return float(similarity(normalised(answer, case_sensitive=case_sensitive), normalised(expected, case_sensitive=case_sensitive)))

    return _nearest(measure)


def bleu(*, language: str | None = None, tokenize: str | None = None) -> Scorer:
    """Compute BLEU of a single answer against all right values of its row (sacrebleu, effective order), from 0 to 1.

    The corpus BLEU, which is no mean of these, is a figure of the score. `language` chooses sacrebleu's tokenizer, `tokenize` names it.
    Needs the extra `eval`.

    Raises:
        SetupError: the tokenizer is unknown, or needs a package that is missing.
    """
    return _sacrebleu(sacrebleu_metric("bleu", language=language, tokenize=tokenize))


def chrf() -> Scorer:
    """Compute chrF2 of a single answer against the nearest right value (sacrebleu), from 0 to 1. Needs the extra `eval`."""
    return _sacrebleu(sacrebleu_metric("chrf"))


TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"} | dict.fromkeys(("th", "lo", "km", "my", "bo", "dz"), "char")
"""Tokenizers by language, as sacrebleu has them; for other scripts without spaces the characters count. All others: 13a, of WMT."""


def sacrebleu_metric(kind: str, *, language: str | None = None, tokenize: str | None = None) -> Any:
    """Return sacrebleu's metric. Raises SetupError."""
    if kind == "chrf":
        return library("sacrebleu", "chrf").CHRF()
    chosen = tokenize or TOKENIZERS.get((language or "").lower().replace("_", "-").partition("-")[0], "13a")
    metric = library("sacrebleu", "bleu").BLEU
    try:
        # Without the effective order, a right answer of three words has no 4-gram, and scores 0.
        return metric(effective_order=True, tokenize=chosen)
    except (ImportError, RuntimeError) as error:
        extra = chosen.partition("-")[0]
        raise SetupError(f"the tokenizer {chosen} needs further packages; run: pip install 'sacrebleu[{extra}]' ({error})") from error
    except (AssertionError, KeyError, ValueError) as error:
        raise SetupError(f"a bleu scorer: sacrebleu has no tokenizer {chosen!r}; it has {', '.join(sorted(metric.TOKENIZERS))}") from error


def _sacrebleu(metric: Any) -> Scorer:
    def score(sample: Sample) -> ScoreValue:
        wanted = expected_texts(sample.expected)
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        # Sums of logarithms of n-gram counts end a little beside 0 and 100.
        value = min(1.0, max(0.0, float(metric.sentence_score(text, wanted).score) / 100))
        against = f" against {len(wanted)} texts" if len(wanted) > 1 else ""
        return scored(value, text, f"{value:z.2f}{against}" if text.strip() else "empty answer")

    return score


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
        # As in SQuAD's script: an empty answer is right where the right value is empty.
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def _words(text: str) -> list[str]:
    return _WORD.findall(words_apart(folded(text).lower()))
