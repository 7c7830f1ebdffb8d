"""The composition root: a job becomes running parts. What the command line, and Python users, call."""

from __future__ import annotations

from batch.app.batch_files import export_files, export_requests, verify_files
from batch.app.estimate import Estimate, estimate
from batch.app.inspect import export, salvage, status, verify
from batch.app.run import RunOptions, RunReport, resume, run
from batch.app.services import models, serve
from batch.app.tryout import TryResult, try_row

__all__ = [
    "Estimate",
    "RunOptions",
    "RunReport",
    "TryResult",
    "estimate",
    "export",
    "export_files",
    "export_requests",
    "models",
    "resume",
    "run",
    "salvage",
    "serve",
    "status",
    "try_row",
    "verify",
    "verify_files",
]
