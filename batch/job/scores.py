"""`[[score]]` and `[[gate]]` as settings: kinds, names, templates, patterns and files checked, files made absolute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batch.job.filling import resolve_path
from batch.job.judges import ASKING_KEYS, Judges, no_run
from batch.job.paths import KeyPath
from batch.job.problems import Problems, nearest
from batch.job.score_model import SCORES, EmbeddingSection, GateSection, JudgingSection, ScoreSection
from batch.job.sections import validated
from batch.job.wording import shown
from batch.settings import GateSettings, JudgeSettings, ScoreSettings, Variant

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_COMMON = {"kind", "name", "expected", "cluster", "slices", *ASKING_KEYS}
_FILES = {"json_schema": "schema", "python": "function"}
FILE_OPTIONS = tuple(_FILES.values())


def make_scores(document: Mapping[str, Any], judges: Judges, environ: Mapping[str, str], problems: Problems) -> tuple[ScoreSettings, ...]:
    """The scores of a job; what is wrong is noted and left out."""
    scores: dict[str, ScoreSettings] = {}
    for path, raw in _tables(document, "score", problems):
        score = make_score(raw, path, environ, problems, judges)
        if score is None:
            continue
        if score.name.lower() in scores:
            problems.add((*path, "name"), f"'{score.name}' is the name of two scores", "give one of them a name of its own")
        scores.setdefault(score.name.lower(), score)
    return tuple(scores.values())


def make_score(
    raw: Any, path: KeyPath, environ: Mapping[str, str], problems: Problems, judges: Judges | None = None
) -> ScoreSettings | None:
    """One `[[score]]` entry; None when it cannot be used. Without `judges`, none that asks a model."""
    kind = raw.get("kind") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str) or kind not in SCORES:
        near = nearest(kind, SCORES) if isinstance(kind, str) else None
        message = "is missing" if kind is None else f"{shown(kind)} is no kind of score"
        problems.add((*path, "kind"), message, f"did you mean {near}?" if near else "known are " + ", ".join(SCORES))
        return None
    section = validated(SCORES[kind], raw, path, problems)
    if section is None:
        return None
    given = section.model_dump(by_alias=True, exclude_unset=True)
    options = {key: value for key, value in given.items() if key not in _COMMON and value is not None}
    name = section.name or kind
    if not _NAME.fullmatch(name):
        problems.add((*path, "name"), f"{shown(name)} cannot be a score's name", "use letters, digits, _ - and .")
    for key in ("expected", "question", "rubric", "template"):
        _check_template(given.get(key), (*path, key), problems)
    _check_options(options, path, problems)
    if kind in _FILES and not _resolve_file(_FILES[kind], options, path, environ, problems):
        return None
    judge, embedder = _asked(section, raw, path, judges, problems)
    if judge is None and embedder is None and isinstance(section, JudgingSection | EmbeddingSection):
        return None
    return ScoreSettings(
        name=name,
        kind=kind,
        expected=given.get("expected"),
        cluster=section.cluster,
        slices=tuple(section.slices),
        options=options,
        judge=judge,
        embedder=embedder,
    )


def _asked(
    section: ScoreSection, raw: Mapping[str, Any], path: KeyPath, judges: Judges | None, problems: Problems
) -> tuple[JudgeSettings | None, Variant | None]:
    """The judge, or the model that embeds, of an entry; neither where it has none, or none that can be used."""
    if not isinstance(section, JudgingSection | EmbeddingSection):
        return None, None
    if judges is None:
        no_run(path, problems)
        return None, None
    if isinstance(section, EmbeddingSection):
        return None, judges.make_embedder(section, raw, path)
    return judges.make(section, raw, path), None


def make_gates(
    document: Mapping[str, Any], scores: Sequence[ScoreSettings], variants: Sequence[str], problems: Problems
) -> tuple[GateSettings, ...]:
    """The gates of a job, whose scores and variants must be there; what is wrong is noted and left out."""
    gates = []
    for path, raw in _tables(document, "gate", problems):
        section = validated(GateSection, raw, path, problems)
        if section is None:
            continue
        _check_names(section, path, [score.name for score in scores], variants, problems)
        if section.min is None and section.max is None and not problems.touch((*path, "min")):
            problems.add(path, "has neither min nor max", "say what must hold: min = 0.9")
        gates.append(
            GateSettings(
                score=section.score,
                metric=section.metric,
                variant=section.variant,
                against=section.against,
                minimum=section.min,
                maximum=section.max,
            )
        )
    return tuple(gates)


def _tables(document: Mapping[str, Any], key: str, problems: Problems) -> Iterator[tuple[KeyPath, Any]]:
    tables = document.get(key, [])
    if not isinstance(tables, list):
        problems.add((key,), f"must be a list of tables, not {shown(tables)}", f"each begins with [[{key}]], in double brackets")
        return
    for index, raw in enumerate(tables):
        yield (key, index), raw


def _check_template(text: str | None, path: KeyPath, problems: Problems) -> None:
    from batch.prompts import check_template

    if text is None or "{" not in text:
        return
    try:
        check_template(text)
    except ValueError as error:
        problems.add(path, f"not a template: {str(error).partition(': ')[2]}")


def _check_options(options: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
    if "pattern" in options:
        try:
            re.compile(options["pattern"])
        except re.error as error:
            problems.add((*path, "pattern"), f"is no regular expression: {error}")
    labels = str(options.get("labels", ""))
    if labels and (len(set(labels.upper())) != len(labels) or not labels.isalnum()):
        problems.add((*path, "labels"), f"{shown(labels)} are no letters of which each stands once", 'write labels = "ABCD"')


def _resolve_file(option: str, options: dict[str, Any], path: KeyPath, environ: Mapping[str, str], problems: Problems) -> bool:
    place = (*path, option)
    if option not in options:
        return False
    file, colon, name = options[option].rpartition(":") if option == "function" else (options[option], "", "")
    if option == "function" and not (file and name.isidentifier()):
        problems.add(place, f"{shown(options[option])} names no function of a file", 'write function = "scorers.py:score"')
        return False
    resolved = resolve_path(file, problems.places.layer(place).base, environ, place, problems)
    if resolved is None:
        return False
    options[option] = f"{resolved}{colon}{name}"
    return True


def _check_names(gate: GateSection, path: KeyPath, scores: Sequence[str], variants: Sequence[str], problems: Problems) -> None:
    wanted = [("score", gate.score, scores), ("variant", gate.variant, variants), ("against", gate.against, variants)]
    for key, name, known in wanted:
        # A score or model that was complained of may be the one that is meant.
        if name is None or name in known or problems.touch(("score" if key == "score" else "model",)):
            continue
        near = nearest(name, known)
        hint = (
            f"did you mean {near}?"
            if near
            else f"known are {', '.join(known)}"
            if known
            else f"there is no [[{'score' if key == 'score' else 'model'}]]"
        )
        problems.add((*path, key), f"there is no {'score' if key == 'score' else 'variant'} {shown(name)}", hint)
    if (gate.metric == "difference") != (gate.against is not None):
        hint = "name the variant to compare with" if gate.against is None else 'write metric = "difference"'
        problems.add((*path, "against"), 'goes with metric = "difference", and that with it', hint)
    elif gate.against is not None and gate.against == gate.variant:
        problems.add((*path, "against"), "is the variant itself")
    for key, bound in (("min", gate.min), ("max", gate.max)):
        if bound is not None and bound < 0 and gate.metric != "difference":
            problems.add((*path, key), f"must be a number from 0 to 1, not {shown(bound)}", "only a difference can be negative")
