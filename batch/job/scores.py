"""`[[score]]` and `[[gate]]` entries as settings, and the score of `run.race`: all checked, paths made absolute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batch.job.judge_panels import expanded
from batch.job.judges import GRADING_KEYS, Judges, no_run
from batch.job.model import RunSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading, nearest
from batch.job.prompts import check_single_braces
from batch.job.schema import shown
from batch.job.score_base import ScoreSection
from batch.job.score_model import SCORES, EmbeddingSection, GateSection, JudgingSection
from batch.job.sections import validated
from batch.settings import GateSettings, JudgeSettings, OutputSettings, ScoreSettings, Variant
from batch.storage import is_url

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_COMMON = {"kind", "name", "expected", "cluster", "slices", *GRADING_KEYS}
_RACE = ("run", "race")
_FILES = {"json_schema": "schema", "python": "function"}
_FUNCTIONS = ("function", "figures")
FILE_OPTIONS = (*_FILES.values(), "figures")


def make_scores(document: Mapping[str, Any], judges: Judges, loading: Loading) -> tuple[ScoreSettings, ...]:
    """Return the scores of a job; an unusable one is reported and skipped."""
    scores: dict[str, ScoreSettings] = {}
    for path, raw in expanded(_tables(document, "score", loading), loading):
        score = make_score(raw, path, loading, judges)
        if score is None:
            continue
        if score.name.lower() in scores:
            loading.add((*path, "name"), f"'{score.name}' names two scores", "give one of them another name")
        scores.setdefault(score.name.lower(), score)
    _check_panels(document, scores, loading)
    return tuple(scores.values())


def _check_panels(document: Mapping[str, Any], scores: Mapping[str, ScoreSettings], loading: Loading) -> None:
    """Report members of panels that are no scores, or panels themselves."""
    members = {score.name for score in scores.values() if score.kind != "panel"}
    if loading.reported(("score",)):
        return
    for path, raw in _tables(document, "score", Loading.of([], {})):
        if isinstance(raw, Mapping) and raw.get("kind") == "panel" and isinstance(raw.get("of"), list | Mapping):
            of = raw["of"]
            if isinstance(of, Mapping) and raw.get("vote", "mean") != "mean":
                loading.add((*path, "vote"), "cannot be set beside weights", "list the names in `of`, or leave vote out")
            for at, name in zip(of, of, strict=True) if isinstance(of, Mapping) else enumerate(of):
                if name not in members:
                    hint = f"choose from {', '.join(sorted(members))}" if members else "add the scores that vote"
                    loading.add((*path, "of", at), f"there is no other score {shown(name)} that could vote", hint)


def make_score(raw: Any, path: KeyPath, loading: Loading, judges: Judges | None = None) -> ScoreSettings | None:
    """Return one `[[score]]` entry; None when it is unusable. A score that needs a model needs `judges`."""
    kind = raw.get("kind") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str) or kind not in SCORES:
        near = nearest(kind, SCORES) if isinstance(kind, str) else None
        message = "is missing" if kind is None else f"{shown(kind)} is not a kind of score"
        loading.add((*path, "kind"), message, f"did you mean {near}?" if near else "choose from " + ", ".join(SCORES))
        return None
    section = validated(SCORES[kind], raw, path, loading)
    if section is None:
        return None
    given = section.model_dump(by_alias=True, exclude_unset=True)
    options = {key: value for key, value in given.items() if key not in _COMMON and value is not None}
    name = section.name or kind
    if not _NAME.fullmatch(name):
        loading.add((*path, "name"), f"{shown(name)} cannot be a score's name", "use letters, digits, _ - and .")
    for key in ("expected", "question", "rubric", "template"):
        _check_template(given.get(key), (*path, key), loading)
    _check_options(options, path, loading)
    named = [option for option in FILE_OPTIONS if option in options or option == _FILES.get(kind)]
    unresolved = [option for option in named if not _resolve_file(option, options, path, loading)]
    if unresolved:
        return None
    judge, embedder = _grader(section, raw, path, judges, loading)
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


def _grader(
    section: ScoreSection, raw: Mapping[str, Any], path: KeyPath, judges: Judges | None, loading: Loading
) -> tuple[JudgeSettings | None, Variant | None]:
    """Return the judge and the embedding model of an entry, each None if the entry has none or an unusable one."""
    if not isinstance(section, JudgingSection | EmbeddingSection):
        return None, None
    if judges is None:
        no_run(path, loading)
        return None, None
    if isinstance(section, EmbeddingSection):
        return None, judges.make_embedder(section, raw, path)
    return judges.make(section, raw, path), None


def make_gates(
    document: Mapping[str, Any], scores: Sequence[ScoreSettings], variants: Sequence[str], loading: Loading
) -> tuple[GateSettings, ...]:
    """Return the gates of a job; an unusable one is reported and skipped. Their scores and variants must exist."""
    gates = []
    for path, raw in _tables(document, "gate", loading):
        section = validated(GateSection, raw, path, loading)
        if section is None:
            continue
        _check_names(section, path, [score.name for score in scores], variants, loading)
        if section.min is section.max is section.max_worse_rows is None and not loading.reported((*path, "min")):
            loading.add(path, "has neither min nor max", "set a bound, such as min = 0.9")
        gates.append(
            GateSettings(
                score=section.score,
                metric="difference" if section.baseline is not None else section.metric,
                variant=section.variant,
                against=section.against,
                minimum=section.min,
                maximum=section.max,
                baseline=_check_baseline(section, path, loading),
                worse_rows=section.max_worse_rows,
            )
        )
    return tuple(gates)


def _tables(document: Mapping[str, Any], key: str, loading: Loading) -> Iterator[tuple[KeyPath, Any]]:
    tables = document.get(key, [])
    if not isinstance(tables, list):
        loading.add((key,), f"must be a list of tables, not {shown(tables)}", f"begin each with [[{key}]], in double brackets")
        return
    for index, raw in enumerate(tables):
        yield (key, index), raw


def _check_template(text: str | None, path: KeyPath, loading: Loading) -> None:
    from batch.prompts import check_template

    if text is None or "{" not in text:
        return
    check_single_braces(text, path, loading)
    try:
        check_template(text)
    except ValueError as error:
        loading.add(path, f"not a template: {str(error).partition(': ')[2]}")


def _check_options(options: Mapping[str, Any], path: KeyPath, loading: Loading) -> None:
    if "pattern" in options:
        try:
            re.compile(options["pattern"])
        except (re.error, OverflowError, RecursionError) as error:
            loading.add((*path, "pattern"), f"is not a regular expression: {error}")
    labels = options.get("labels", "")
    if labels and isinstance(labels, str) and (len(set(labels.upper())) != len(labels) or not labels.isalnum()):
        loading.add((*path, "labels"), f"{shown(labels)} must be letters, each once", 'write labels = "ABCD"')
    names = [name for label in labels for name in (label, *(labels[label] if isinstance(labels, Mapping) else ()))]
    repeated = next((name for name in names if sum(one.casefold() == name.casefold() for one in names) > 1), None)
    if not isinstance(labels, str) and repeated is not None and not options.get("case_sensitive"):
        loading.add((*path, "labels"), f"{shown(repeated)} names two labels", "name each label once")


def _resolve_file(option: str, options: dict[str, Any], path: KeyPath, loading: Loading) -> bool:
    place = (*path, option)
    if option not in options:
        return False
    file, colon, name = options[option].rpartition(":") if option in _FUNCTIONS else (options[option], "", "")
    if option in _FUNCTIONS and not (file and name.isidentifier()):
        loading.add(place, f"{shown(options[option])} is not a function in a file", f'write {option} = "scorers.py:score"')
        return False
    resolved = loading.resolve_path(file, place)
    if resolved is None:
        return False
    options[option] = f"{resolved}{colon}{name}"
    return True


def _check_names(gate: GateSection, path: KeyPath, scores: Sequence[str], variants: Sequence[str], loading: Loading) -> None:
    wanted = [("score", gate.score, scores), ("variant", gate.variant, variants), ("against", gate.against, variants)]
    for key, name, known in wanted:
        # The gate may mean a score or model whose own mistake is already reported.
        if name is None or name in known or loading.reported(("score" if key == "score" else "model",)):
            continue
        near = nearest(name, known)
        hint = (
            f"did you mean {near}?"
            if near
            else f"choose from {', '.join(known)}"
            if known
            else f"there is no [[{'score' if key == 'score' else 'model'}]]"
        )
        loading.add((*path, key), f"there is no {'score' if key == 'score' else 'variant'} {shown(name)}", hint)
    if gate.baseline is None and (gate.metric == "difference") != (gate.against is not None):
        hint = "name the variant to compare with" if gate.against is None else 'write metric = "difference"'
        loading.add((*path, "against"), 'must be set with metric = "difference", and only then', hint)
    elif gate.against is not None and gate.against == gate.variant:
        loading.add((*path, "against"), "is the variant itself")
    for key, bound in (("min", gate.min), ("max", gate.max)):
        if bound is not None and bound < 0 and gate.metric != "difference" and gate.baseline is None:
            loading.add((*path, key), f"must be a number from 0 to 1, not {shown(bound)}", "only a difference can be negative")


def _check_baseline(gate: GateSection, path: KeyPath, loading: Loading) -> str | None:
    """Return the address of a gate's baseline; mistakes in how it is combined are reported."""
    if gate.baseline is None:
        if gate.max_worse_rows is not None:
            loading.add((*path, "max_worse_rows"), "needs a baseline", 'set baseline = "runs/last-release"')
        return None
    if gate.against is not None:
        loading.add(
            (*path, "against"), "cannot be combined with baseline", "a gate compares with a variant of this run, or with a baseline"
        )
    if gate.metric == "coverage":
        loading.add((*path, "metric"), 'cannot be "coverage" with a baseline', "the difference of the strict scores is bounded")
    return loading.resolve_path(gate.baseline, (*path, "baseline"), stores=True)


def race_score(section: RunSection | None, scores: Sequence[ScoreSettings], output: OutputSettings | None, loading: Loading) -> str | None:
    """Return the name of the score that decides the race; None without a race. Mistakes are reported. Needs the scores made before."""
    if section is None or section.race is None or section.race is False:
        return None
    if section.processes != 1:
        loading.add(_RACE, "cannot be combined with run.processes: a race needs one process", "remove one of the two")
    if output is not None and is_url(output.dir):
        loading.add(_RACE, "cannot be used with a run directory on an object store", "give [output] dir a path on this machine")
    fit = [score.name for score in scores if score.asked is None and score.kind != "panel"]
    if section.race is True:
        if not fit and not loading.reported(("score",)):
            loading.add(_RACE, "needs a [[score]] that calls no model", 'add one: kind = "exact", expected = "COLUMN"')
        return fit[0] if fit else None
    if section.race not in fit and not loading.reported(("score",)):
        _add_unfit_race(section.race, fit, scores, loading)
    return section.race


def _add_unfit_race(name: str, fit: Sequence[str], scores: Sequence[ScoreSettings], loading: Loading) -> None:
    if name in {score.name for score in scores}:
        loading.add(_RACE, f"{shown(name)} calls a model, and a race cannot wait for it", "name a score that calls none")
        return
    near = nearest(name, fit)
    loading.add(_RACE, f"there is no [[score]] named {shown(name)}", f"did you mean {near}?" if near else f"choose from {', '.join(fit)}")
