"""How many threads the embedded model takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch.server.cores import spare_threads, usable_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 8 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000\n", 8), ("200000 100000\n", 2), ("250000 100000\n", 2), ("50000 100000\n", 1), ("6400000 100000\n", 8), ("junk\n", 8)],
)
def test_a_container_quota_limits_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    """A quota counts in whole cores, at least one; no quota or one that cannot be read limits nothing."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == cores


@pytest.mark.usefixtures("eight_cores")
def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    """Where there is no quota file all cores of the affinity are usable."""
    assert usable_cores(tmp_path / "none") == 8


def test_a_system_without_affinity_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS the number of cores counts."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert usable_cores(tmp_path / "none") == 4


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_one_core_is_left_for_the_runner(cores: int, threads: int) -> None:
    """The model takes all cores but one, and never none."""
    assert spare_threads(cores) == threads
