"""Expand a `[[score]]` entry with several judges: a score for each of them, and the panel that they form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batch.job.paths import KeyPath
from batch.job.problems import Loading
from batch.settings import ScoreSettings

JUDGED = ("judge", "pairwise")
# What belongs to the combined score; everything else is each judge's.
_OF_PANEL = ("vote", "weights", "macro", "figures")
_SHARED = ("cluster", "slices")
_NOT_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def expanded(entries: Iterator[tuple[KeyPath, Any]], loading: Loading) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the entries, those with a list of judges as one for each judge and then the panel, which has the entry's name."""
    for path, raw in entries:
        if not isinstance(raw, Mapping) or raw.get("kind") not in JUDGED:
            yield path, raw
        elif judges := _several(raw):
            _check(raw, path, loading)
            yield from ((path, entry) for entry in _entries(raw, judges))
        else:
            if "vote" in raw:
                loading.add((*path, "vote"), "needs several judges", 'write judge = ["PROVIDER/MODEL", "PROVIDER/OTHER"]')
            yield path, {key: value for key, value in raw.items() if key != "vote"}


def with_entries(document: Mapping[str, Any], scores: Sequence[ScoreSettings]) -> Iterator[tuple[Any, ScoreSettings]]:
    """Pair the scores of a sound job with the entries of its document that they were made from."""
    counts = ((raw, len(_several(raw)) + 1 if _several(raw) else 1) for raw in document.get("score", []))
    return zip((raw for raw, count in counts for _ in range(count)), scores, strict=True)


def _several(raw: Mapping[str, Any]) -> list[str]:
    """Return the judges of an entry that has several; else none."""
    judges = raw.get("judge")
    found = isinstance(judges, list) and len(judges) > 1 and all(isinstance(one, str) for one in judges)
    return list(judges) if isinstance(judges, list) and found else []


def _check(raw: Mapping[str, Any], path: KeyPath, loading: Loading) -> None:
    if len(set(raw["judge"])) < len(raw["judge"]):
        loading.add((*path, "judge"), "names a judge twice", "a panel needs different judges")
    if "price" in raw:
        loading.add(
            (*path, "price"), "cannot be set for several judges", "prices differ; give each judge a [[score]], and combine them by a panel"
        )


def _entries(raw: Mapping[str, Any], judges: Sequence[str]) -> Iterator[dict[str, Any]]:
    name = str(raw.get("name", raw["kind"]))
    names = member_names(name, judges)
    for judge, own in zip(judges, names, strict=True):
        yield {**{key: value for key, value in raw.items() if key not in {*_OF_PANEL, "price"}}, "judge": judge, "name": own}
    kept = {key: raw[key] for key in (*_OF_PANEL, *_SHARED) if key in raw}
    yield {"kind": "panel", "name": name, "of": names, **kept}


def member_names(name: str, judges: Sequence[str]) -> list[str]:
    """Return a name for each judge's score: the entry's and the model's, with its provider where two models have one name."""
    models = [judge.rpartition("/")[2] for judge in judges]
    chosen = models if len(set(models)) == len(models) else judges
    # A score's name has at most 80 characters.
    return [f"{name}-{_NOT_NAME.sub('-', each).strip('-')}"[:80] for each in chosen]
