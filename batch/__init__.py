"""promptmill: a batch job runner for bulk prompts on OpenAI-compatible endpoints.

`import batch` is cheap: the names below load their modules when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch.app.endpoint import Endpoint as Endpoint
    from batch.app.job_types import JobDict as JobDict
    from batch.app.python import arun as arun
    from batch.app.python import load_job as load_job
    from batch.app.python import run as run
    from batch.app.python_inspect import RunStatus as RunStatus
    from batch.app.python_inspect import RunVerification as RunVerification
    from batch.app.python_inspect import export as export
    from batch.app.python_inspect import status as status
    from batch.app.python_inspect import verify as verify
    from batch.app.python_parser import Parsed as Parsed
    from batch.app.python_plan import JobPlan as JobPlan
    from batch.app.python_plan import plan as plan
    from batch.app.python_results import Results as Results
    from batch.app.python_results import RunResult as RunResult
    from batch.app.python_scores import Changes as Changes
    from batch.app.python_scores import Scores as Scores
    from batch.app.python_scores import compare as compare
    from batch.app.python_scores import report as report
    from batch.app.python_scores import score as score
    from batch.app.python_stream import OutcomeStream as OutcomeStream
    from batch.app.python_stream import StreamedOutcome as StreamedOutcome
    from batch.app.python_stream import stream as stream

from batch._version import __version__ as __version__

_HOMES = {
    "Endpoint": "batch.app.endpoint",
    "JobDict": "batch.app.job_types",
    "Parsed": "batch.app.python_parser",
    **dict.fromkeys(("arun", "load_job", "run"), "batch.app.python"),
    **dict.fromkeys(("Results", "RunResult"), "batch.app.python_results"),
    **dict.fromkeys(("RunStatus", "RunVerification", "export", "status", "verify"), "batch.app.python_inspect"),
    **dict.fromkeys(("JobPlan", "plan"), "batch.app.python_plan"),
    **dict.fromkeys(("Changes", "Scores", "compare", "report", "score"), "batch.app.python_scores"),
    **dict.fromkeys(("OutcomeStream", "StreamedOutcome", "stream"), "batch.app.python_stream"),
}

__all__ = [
    "Changes",
    "Endpoint",
    "JobDict",
    "JobPlan",
    "OutcomeStream",
    "Parsed",
    "Results",
    "RunResult",
    "RunStatus",
    "RunVerification",
    "Scores",
    "StreamedOutcome",
    "__version__",
    "arun",
    "compare",
    "export",
    "load_job",
    "plan",
    "report",
    "run",
    "score",
    "status",
    "stream",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'batch' has no attribute {name!r}")


def __dir__() -> list[str]:
    # Names that are not loaded yet are shown too.
    return sorted({*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__"})
