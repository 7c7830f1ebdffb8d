"""The pages of docs/ that are made from the program: `make docs` writes them, tests/unit/test_documents.py holds them to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.documents.architecture import architecture_page
from tests.documents.faults import faults_page
from tests.documents.job_file import job_file_page
from tests.documents.job_types import job_types_module, score_types_module
from tests.documents.providers import providers_page

ROOT = Path(__file__).parents[2]
MADE: Mapping[str, Callable[[], str]] = {
    "batch/app/job_types.py": job_types_module,
    "batch/app/score_types.py": score_types_module,
    "docs/architecture.md": architecture_page,
    "docs/faults.md": faults_page,
    "docs/job-file.md": job_file_page,
    "docs/providers.md": providers_page,
}
