"""Name the level that each variant of a job has of each factor of a sweep: its model, its prompt, and each of its parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from batch.evaluation.statistics.effects import Levels
from batch.settings import Job, Variant

_LONGEST = 40


def levels_of(job: Job) -> list[Levels]:
    """Return each variant's levels by factor, in the job's order."""
    # Prompts are nested settings without a hash, so their text form tells them apart.
    prompts: dict[str, list[Variant]] = {}
    for variant in job.variants:
        prompts.setdefault(repr(variant.prompt), []).append(variant)
    names = dict(zip(prompts, _prompt_names(list(prompts.values())), strict=True))
    return [
        {
            "model": variant.full_name,
            "prompt": names[repr(variant.prompt)],
            **{key: _shown(value) for key, value in variant.parameters.items()},
        }
        for variant in job.variants
    ]


def _prompt_names(groups: Sequence[Sequence[Variant]]) -> list[str]:
    """Name each prompt by the name that its variants share, if that tells the prompts apart; else by numbers."""
    shared = [_shared([variant.name for variant in group]) for group in groups]
    if all(shared) and len(set(shared)) == len(shared):
        return shared
    return [f"prompt {at} (of {group[0].name})" for at, group in enumerate(groups, 1)]


def _shared(names: Sequence[str]) -> str:
    """Return the words with which all names begin."""
    words = zip(*(name.split(" ") for name in names), strict=False)
    return " ".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= _LONGEST:
        return text
    # The hash keeps long values apart that begin alike.
    return f"{text[: _LONGEST - 10]}… {hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
