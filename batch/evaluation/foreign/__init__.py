"""Read answers from files of another tool or another run: one JSON object per line, a document with a list of samples, or a table."""

from __future__ import annotations

from batch.evaluation.foreign.reading import read_foreign

__all__ = ["read_foreign"]
