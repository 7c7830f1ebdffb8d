"""`run.race` as the name of a score; whether the job can have a race at all."""

from __future__ import annotations

from collections.abc import Sequence

from batch.job.model import RunSection
from batch.job.problems import Problems, nearest
from batch.job.wording import shown
from batch.settings import OutputSettings, ScoreSettings
from batch.storage import is_url

_PLACE = ("run", "race")


def race_score(
    section: RunSection | None, scores: Sequence[ScoreSettings], output: OutputSettings | None, problems: Problems
) -> str | None:
    """The score that decides the race, None where there is none; what is wrong is noted. Call it last: scores may be left out."""
    if section is None or section.race is None or section.race is False:
        return None
    if section.processes != 1:
        problems.add(_PLACE, "does not go with run.processes: a race is run by one process", "leave one of the two out")
    if output is not None and is_url(output.dir):
        problems.add(_PLACE, "does not go with a run directory on an object store", "give [output] dir a path on this machine")
    fit = [score.name for score in scores if score.asked is None]
    if section.race is True:
        if not fit and not problems.touch(("score",)):
            problems.add(_PLACE, "needs a [[score]] that asks no model", 'add one: kind = "exact", expected = "COLUMN"')
        return fit[0] if fit else None
    if section.race not in fit and not problems.touch(("score",)):
        _complain(section.race, fit, scores, problems)
    return section.race


def _complain(name: str, fit: Sequence[str], scores: Sequence[ScoreSettings], problems: Problems) -> None:
    if name in {score.name for score in scores}:
        problems.add(_PLACE, f"{shown(name)} asks a model, and a race cannot wait for that", "name a score that asks none")
        return
    near = nearest(name, fit)
    problems.add(_PLACE, f"there is no [[score]] named {shown(name)}", f"did you mean {near}?" if near else f"known are {', '.join(fit)}")
