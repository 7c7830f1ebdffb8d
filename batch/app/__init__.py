"""The composition root: a job becomes running parts. What the command line, and Python users, call."""

from __future__ import annotations

from batch.app.inspect import export, salvage, status, verify
from batch.app.run import RunOptions, RunReport, resume, run
from batch.app.services import models, serve
from batch.app.tryout import TryResult, try_row

__all__ = [
    "RunOptions",
    "RunReport",
    "TryResult",
    "export",
    "models",
    "resume",
    "run",
    "salvage",
    "serve",
    "status",
    "try_row",
    "verify",
]
