"""Input files as rows: JSONL, CSV and Parquet, streamed in bounded memory."""

from __future__ import annotations

from batch.readers.dataset import Dataset

__all__ = ["Dataset"]
