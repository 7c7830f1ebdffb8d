"""Identify tasks, and the rows that they are of."""

from __future__ import annotations

from batch.records import Task


def row_of(task: Task) -> tuple[str, int]:
    """Identify a task's row: its repeats ask the same, and being refused alike they show no more than one of them."""
    return task.variant, task.ordinal


def key_of(task: Task) -> tuple[str, int, int]:
    """Identify a task."""
    return task.variant, task.ordinal, task.repeat
