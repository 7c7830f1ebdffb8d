"""Export answers with what they answer as training data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from batch.app.stored import open_scored
from batch.errors import InputError, StorageError
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.chats import ChatFormat, WrittenChats, write_chats
from batch.evaluation.parquet import ScoresReader
from batch.evaluation.score_conditions import score_conditions
from batch.evaluation.scoring import score_answers, scores_path
from batch.journal.disk import refusal
from batch.results.join import results
from batch.storage import is_url, uploading


def export_chats(
    directory: Path | str, form: ChatFormat, destination: Path | str | None, where: Sequence[str] = (), overrides: Sequence[str] = ()
) -> WrittenChats:
    """Write the answers of a run for which all conditions on its scores hold; into the run directory unless `destination` is given.

    Scores are brought up to date first, as `promptmill score` does it without calling a model.

    Raises:
        InputError: a condition cannot be read or names no score, or the input cannot be read.
        RunDirectoryError, DamagedError, StorageError.
    """
    scored = open_scored(directory, overrides=overrides)
    run = scored.run
    known = {score.name: score for score in scored.scores()} if where else {}
    try:
        conditions = score_conditions(where, list(known))
    except ValueError as error:
        raise InputError(str(error)) from error
    folder = run.directory.path / "scores"
    if conditions:
        run.directory.fetch("scores")
        chosen = [known[name] for name in dict.fromkeys(condition.score for condition in conditions)]
        score_answers(partial(run_answers, run), run_state(run), chosen, folder, run)
    readers = [(condition, ScoresReader(scores_path(folder, known[condition.score]))) for condition in conditions]
    target = str(destination or run.directory.place)
    if is_url(target):
        with uploading(target) as (local, addresses):
            written = write_chats(results(run), run.job, form, local, readers)
        written.paths = [*addresses]
        return written
    try:
        Path(target).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, Path(target))) from error
    return write_chats(results(run), run.job, form, Path(target), readers)
