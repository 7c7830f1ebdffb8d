"""The composition root: a job becomes running parts. What the command line, and Python users, call.

No command needs all of it: modules are loaded when their names are first used, those of a run too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch.app.batch_files import export_files, export_requests, verify_files
    from batch.app.inspect import export, salvage, verify
    from batch.app.look import status
    from batch.app.runner import resume, run
    from batch.app.running import RunOptions, RunReport
    from batch.app.services import models, models_of_job, serve
    from batch.app.steps import run_steps, steps_of
    from batch.app.tryout import TryResult, try_row

_HOMES = {
    **dict.fromkeys(("export_files", "export_requests", "verify_files"), "batch.app.batch_files"),
    **dict.fromkeys(("export", "salvage", "verify"), "batch.app.inspect"),
    "status": "batch.app.look",
    **dict.fromkeys(("resume", "run"), "batch.app.runner"),
    **dict.fromkeys(("RunOptions", "RunReport"), "batch.app.running"),
    **dict.fromkeys(("models", "models_of_job", "serve"), "batch.app.services"),
    **dict.fromkeys(("run_steps", "steps_of"), "batch.app.steps"),
    **dict.fromkeys(("TryResult", "try_row"), "batch.app.tryout"),
}

__all__ = [
    "RunOptions",
    "RunReport",
    "TryResult",
    "export",
    "export_files",
    "export_requests",
    "models",
    "models_of_job",
    "resume",
    "run",
    "run_steps",
    "salvage",
    "serve",
    "status",
    "steps_of",
    "try_row",
    "verify",
    "verify_files",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'batch.app' has no attribute {name!r}")
