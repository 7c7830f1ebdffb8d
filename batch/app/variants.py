"""Choose the variants of a job that a session sends."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from batch.errors import SetupError
from batch.settings import Job, Variant

NAMED = 10


def chosen_variants(job: Job, patterns: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants whose name, or PROVIDER/MODEL, matches one of the patterns; all without patterns.

    Raises SetupError for a pattern that matches none.
    """
    if not patterns:
        return job.variants
    for pattern in patterns:
        if not any(_matches(variant, pattern) for variant in job.variants):
            names = [variant.name for variant in job.variants]
            near = get_close_matches(pattern, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the job has {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''};"
            raise SetupError(f"--variant {pattern!r}: no model of this job has such a name; {hint} patterns have * and ?")
    return tuple(variant for variant in job.variants if any(_matches(variant, pattern) for pattern in patterns))


def _matches(variant: Variant, pattern: str) -> bool:
    return fnmatchcase(variant.name, pattern) or fnmatchcase(variant.full_name, pattern)
