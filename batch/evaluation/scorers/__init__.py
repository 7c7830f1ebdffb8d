"""Scorers: pure functions from an answer and its expected value to a score. Code in an answer is never executed.

Each is made from the options of its `[[score]]` entry; `KINDS` lists all kinds. An answer that cannot be read is unscored, never 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers import choice, labels, matching, math, number, overlap, structured, tool_calls, user_function
from batch.evaluation.scorers.sample import ExpectedError as ExpectedError
from batch.evaluation.scorers.sample import Sample as Sample
from batch.evaluation.scorers.sample import Scorer as Scorer
from batch.evaluation.scorers.user_module import deciding_files
from batch.settings import JudgeSettings, ScoreSettings, Variant


@dataclass(frozen=True, slots=True)
class ScorerKind:
    """A kind of scorer. Every change of its scores must raise `version`, so that stored scores are recomputed.

    `binary`: all its scores are 0 or 1. `compares`: it reads the expected value before the answer, and raises ExpectedError for an
    unusable one. `slow`: its scores are reused while answer, row and version are the same.
    `file_option` names the option that is a file, whose content decides the scores too.
    """

    make: Callable[..., Scorer]
    binary: bool = True
    compares: bool = True
    slow: bool = False
    version: int = 1
    file_option: str | None = None


KINDS = {
    "exact": ScorerKind(matching.exact),
    "contains": ScorerKind(matching.contains),
    "regex": ScorerKind(matching.regex, version=2),
    "choice": ScorerKind(choice.choice, version=4),
    "label": ScorerKind(labels.label, version=2),
    "number": ScorerKind(number.number, version=3),
    "math": ScorerKind(math.math, slow=True, version=2),
    "json": ScorerKind(structured.valid_json, compares=False, version=2),
    "json_schema": ScorerKind(structured.json_schema, compares=False, version=3, file_option="schema"),
    "json_fields": ScorerKind(structured.json_fields, binary=False, version=3),
    "tool_call": ScorerKind(tool_calls.tool_call),
    "token_f1": ScorerKind(overlap.token_f1, binary=False),
    "rouge_l": ScorerKind(overlap.rouge_l, binary=False),
    "edit": ScorerKind(overlap.edit, binary=False),
    "bleu": ScorerKind(overlap.bleu, binary=False, version=2),
    "chrf": ScorerKind(overlap.chrf, binary=False, version=2),
    "python": ScorerKind(user_function.python, binary=False, compares=False, slow=True, version=2, file_option="function"),
}
EMBEDDING = "embedding"
"""The kind whose scores are made from embeddings, in `grading/embeddings.py`; judges' scores are made in `grading/judge_scores.py`."""


def make_scorer(settings: ScoreSettings) -> Scorer:
    """Make the scorer of a `[[score]]` entry.

    Raises:
        SetupError: a file or a library that it needs is missing.
    """
    return KINDS[settings.kind].make(**{key: value for key, value in settings.options.items() if key not in COMMON_OPTIONS})


FIGURE_OPTIONS = frozenset({"weights", "macro", "figures"})
"""What all kinds may have for figures of all answers (`figures.collect`)."""
COMMON_OPTIONS = FIGURE_OPTIONS | {"cut_off", "thinking"}
"""What entries of all kinds may have (`answers.AnswerRules`, and those for figures)."""
FIGURES_VERSION = 1
"""Rises with every change of the figures."""
RULES_VERSION = 2
"""Rises with every change of what all kinds do alike: thinking, answers that were cut off."""
JUDGE_VERSION = 3
"""Rises with every change of a judge's calls, or of the scores computed from its replies."""
EMBEDDING_VERSION = 1
"""Rises with every change of the embedded texts, or of the scores computed from their vectors."""


def scorer_version(settings: ScoreSettings) -> str:
    """Hash all that decides a scorer's scores but the answers: kind, version, expected value, options, and the content of its file.

    For graded scores: the model and its calls.

    Raises:
        SetupError: its file cannot be read.
    """
    # Sorted, since the order of keys in a job file means nothing.
    options = [*sorted(settings.options.items()), *_deciding_figures(settings)]
    if settings.judge is not None:
        known = [settings.kind, RULES_VERSION, JUDGE_VERSION, settings.expected, options, _deciding(settings.judge)]
        return hashlib.blake2b(json.dumps(known, default=str).encode(), digest_size=16).hexdigest()
    if settings.embedder is not None:
        known = [settings.kind, RULES_VERSION, EMBEDDING_VERSION, settings.expected, options, _deciding(settings.embedder)]
        return hashlib.blake2b(json.dumps(known, default=str).encode(), digest_size=16).hexdigest()
    if settings.kind not in KINDS:
        return hashlib.blake2b(json.dumps([settings.kind, options], default=str).encode(), digest_size=16).hexdigest()
    kind = KINDS[settings.kind]
    known = [settings.kind, RULES_VERSION, kind.version, settings.expected, options]
    digest = hashlib.blake2b(json.dumps(known, default=str).encode(), digest_size=16)
    for content in deciding_content(settings):
        digest.update(content)
    return digest.hexdigest()


def _deciding_figures(settings: ScoreSettings) -> list[Any]:
    """List what decides a score's figures besides its values; empty for a score without figures of its own."""
    if settings.kind not in {"label", "bleu", "chrf"} and not FIGURE_OPTIONS & settings.options.keys():
        return []
    function = settings.options.get("figures")
    files = deciding_files(str(function)) if function is not None else {}
    digests = [hashlib.blake2b(content, digest_size=16).hexdigest() for content in files.values()]
    return [FIGURES_VERSION, settings.cluster, digests]


def deciding_content(settings: ScoreSettings) -> list[bytes]:
    """Read the files that decide the scores. Raises SetupError."""
    kind = KINDS[settings.kind]
    if kind.file_option is None:
        return []
    named = str(settings.options[kind.file_option])
    if settings.kind == "python":
        return list(deciding_files(named).values())
    try:
        return [Path(named).read_bytes()]
    except OSError as error:
        raise SetupError(f"{named}: cannot be read: {error.strerror}") from error


def _deciding(settings: JudgeSettings | Variant) -> dict[str, Any]:
    """Return the settings as data, without what changes no answer: stored scores stay valid."""
    document = asdict(settings)
    # It only steers the check of model names before a run.
    document.get("variant", document)["provider"].pop("lists_all_models")
    if not document.get("images"):
        document.pop("images", None)
    return document
