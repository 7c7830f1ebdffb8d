"""promptmill: a batch job runner for bulk prompts on OpenAI-compatible endpoints.

`import batch` is cheap: the names below load their modules when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch.app.endpoint import Endpoint as Endpoint
    from batch.app.python import Results as Results
    from batch.app.python import RunResult as RunResult
    from batch.app.python import arun as arun
    from batch.app.python import load_job as load_job
    from batch.app.python import plan as plan
    from batch.app.python import run as run
    from batch.app.python_scores import Changes as Changes
    from batch.app.python_scores import Scores as Scores
    from batch.app.python_scores import compare as compare
    from batch.app.python_scores import report as report
    from batch.app.python_scores import score as score

from batch._version import __version__ as __version__

_HOMES = {
    "Endpoint": "batch.app.endpoint",
    **dict.fromkeys(("Results", "RunResult", "arun", "load_job", "plan", "run"), "batch.app.python"),
    **dict.fromkeys(("Changes", "Scores", "compare", "report", "score"), "batch.app.python_scores"),
}

__all__ = [
    "Changes",
    "Endpoint",
    "Results",
    "RunResult",
    "Scores",
    "__version__",
    "arun",
    "compare",
    "load_job",
    "plan",
    "report",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'batch' has no attribute {name!r}")
