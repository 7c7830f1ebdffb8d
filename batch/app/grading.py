"""Run the models that judge or embed: each such score is a run of its own in the scored run's scores folder, by the same engine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from batch.app.engines import BATCH_API
from batch.app.runner import RunOptions, RunReport, run
from batch.app.stored import ScoredRun
from batch.errors import InputError
from batch.evaluation.answers import Answer, run_answers, run_state
from batch.evaluation.grading.embeddings import TEXT
from batch.evaluation.grading.grader_calls import CARRIED, CallOutcomes, calls_directory, calls_state, count_open, graded_by, write_calls
from batch.evaluation.grading.judge_grader import MESSAGES, JudgeGrader, judge_variant
from batch.evaluation.grading.pictures import IMAGES
from batch.evaluation.grading.verdict_reader import FollowUpGrader
from batch.evaluation.scoring import make_grader
from batch.events import Observer
from batch.job import LoadedJob, from_document, with_entries
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of
from batch.settings import Job, ScoreSettings
from batch.settings.files import FileSettings

# What such a run does not take over from [run]: repeats and a race concern the scored run only.
_NOT_TAKEN = frozenset({"repeats", "race"})


@dataclass(frozen=True, slots=True)
class Grading:
    """One score that needs a model's calls: their number, and the number still open. `loaded` is the job that makes them."""

    score: str
    model: str
    did: Literal["judged", "embedded"]
    calls: int
    open: int
    loaded: LoadedJob

    def run(self, options: RunOptions, observers: Sequence[Observer]) -> RunReport:
        """Make the open calls, or resume them. Raises as `app.run` does."""
        # A call's id hashes everything that decides it, so that a changed call is another call.
        own = RunOptions(retry_failed=options.retry_failed, changed="rerun", engine=options.engine, batch=options.batch)
        return run(self.loaded, own, observers)


def gradings(scored: ScoredRun, overrides: Sequence[str] = (), *, retry_failed: bool = False) -> list[Grading]:
    """List the scores of a run that need a model's calls, and write those calls; nothing is sent. `overrides` apply to their runs.

    Raises:
        InputError, JobError, DamagedError, StorageError.
    """
    judged, judging = scored.run, scored.judging
    found = []
    for raw, score in with_entries(judging.document, scored.scores()):
        if score.asked is None:
            continue
        if (
            score.judge is not None
            and score.judge.baseline is not None
            and score.judge.baseline not in {variant.name for variant in judged.job.variants}
        ):
            raise InputError(f"score {score.name}: the run has no variant {score.judge.baseline!r}, which is its baseline")
        own = calls_directory(judged.directory, score)
        place, calls = _write_calls(score, judged.job, partial(run_answers, judged), run_state(judged), own)
        unmade = count_open(own, score, retry_failed=retry_failed)
        loaded = from_document(
            _document(judging.document, raw, score, judged.job.variants[0].prompt.attached, place, address_of(own)), overrides
        )
        did: Literal["judged", "embedded"] = "judged" if score.judge is not None else "embedded"
        found.append(Grading(score.name, score.asked.full_name, did, calls, unmade, loaded))
    return found


def _write_calls(score: ScoreSettings, job: Job, answers: Callable[[], Iterable[Answer]], state: str, own: RunDirectory) -> tuple[str, int]:
    """Write the calls of a score, a judge's follow-up calls included; return their address and number."""
    grader = make_grader(score, job)
    if not isinstance(grader, JudgeGrader):
        return write_calls(grader, answers, state, own)
    # Follow-up calls depend on the replies so far.
    with CallOutcomes(own, score) as outcomes:
        return write_calls(FollowUpGrader(grader, outcomes), answers, calls_state(state, own, score), own)


def _document(
    judging: Mapping[str, Any], raw: Mapping[str, Any], score: ScoreSettings, attached: FileSettings, calls: str, folder: str
) -> dict[str, Any]:
    """Write the job that sends a score's calls, with the providers and pace of the scored job."""
    document = copy.deepcopy(dict(judging))
    return {
        "name": f"{document['name']}: {score.name}",
        "input": {"path": calls, "id": "id"},
        "prompt": _prompt(score, attached),
        **({"provider": document["provider"]} if "provider" in document else {}),
        "model": [_model(raw, score)],
        **({"batch": document["batch"]} if "batch" in document else {}),
        "run": _run_table(document.get("run", {}), score),
        "output": {"dir": folder, "columns": list(CARRIED)},
    }


def _prompt(score: ScoreSettings, attached: FileSettings) -> dict[str, Any]:
    """Write how a call becomes a request; the pictures of a judge's calls are shown as the judged model saw them."""
    if score.judge is None:
        return {"api": "embeddings", "text": f"{{{{ {TEXT} }}}}"}
    if not score.judge.images:
        return {"messages": MESSAGES}
    detail = {} if attached.detail is None else {"detail": attached.detail}
    return {"messages": MESSAGES, "images": IMAGES, "max_file_bytes": attached.max_file_bytes, **detail}


def _run_table(run: Mapping[str, Any], score: ScoreSettings) -> dict[str, Any]:
    """Write the [run] of a score's calls: by batches where the scored job is run by them and the model's provider takes such batches."""
    taken = {key: value for key, value in run.items() if key not in _NOT_TAKEN}
    if taken.get("engine") == BATCH_API:
        api = graded_by(score).provider.batch
        called = "chat/completions" if score.judge is not None else "embeddings"
        if api is None or (api.apis is not None and called not in api.apis):
            taken["engine"] = "live"
    return taken


def _model(raw: Mapping[str, Any], score: ScoreSettings) -> dict[str, Any]:
    """Write the model as a `[[model]]` table: the settings of its `[[score]]` and, for a judge, the response format."""
    sent = judge_variant(score).parameters if score.judge is not None else {}
    own = {key: value for key, value in sent.items() if key == "response_format"}
    written = copy.deepcopy(dict(raw.get("parameters", {})))
    price = {"price": raw["price"]} if "price" in raw else {}
    return {"id": graded_by(score).full_name, **price, **written, **({} if "response_format" in written.get("extra_body", {}) else own)}
