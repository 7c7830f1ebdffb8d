"""What the benchmarks need beside promptmill: nginx with the echo module, wrk, and the peers in environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.benchmarks.contenders import ENVIRONMENTS, Contender
from tests.benchmarks.endpoint import MODULE

INSTALL_LIMIT_S = 600
NEWEST_MINOR = 14
NGINX = ("nginx-light", "libnginx-mod-http-echo")


def ensure_programs() -> None:
    """Nginx with its echo module and wrk, installed where this is root's Debian.

    Raises:
        SystemExit: nginx or its module is missing and cannot be installed here; the text says what to do.
    """
    missing = [] if shutil.which("nginx") and MODULE.exists() else list(NGINX)
    wanted = missing if shutil.which("wrk") else [*missing, "wrk"]
    if wanted and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        _say(f"installing {', '.join(wanted)} …")
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "--no-install-recommends", *wanted]):
            subprocess.run(command, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False)
    if not shutil.which("openssl"):
        sys.exit("The benchmarks need openssl, for the certificate of the part over TLS")
    if not shutil.which("nginx") or not MODULE.exists():
        sys.exit(f"The benchmarks need nginx with the echo module. On Debian and Ubuntu: sudo apt-get install {' '.join(NGINX)}")


def ensure_peers(peers: Sequence[Contender]) -> None:
    """Make the environments of these peers where they are missing; one that cannot be made is told and left out of the table's figures."""
    for peer in peers:
        if peer.environment is None:
            continue
        home = ENVIRONMENTS / peer.environment
        if (home / ".ready").exists():
            continue
        python = _interpreter(peer.python)
        if python is None:
            _say(f"{peer.title} is left out: it needs Python {'.'.join(map(str, peer.python))} or newer")
            continue
        _say(f"installing {', '.join(peer.requirements)} in {home.relative_to(ENVIRONMENTS.parent)} …")
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements]
        try:
            subprocess.run([python, "-m", "venv", str(home)], check=True)
            subprocess.run(pip, check=True, timeout=INSTALL_LIMIT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            _say(f"{peer.title} is left out, its installation failed: {error}")
            continue
        (home / ".ready").touch()


def _interpreter(oldest: tuple[int, int]) -> str | None:
    """A Python of this version or newer: this one, or another that is installed."""
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(NEWEST_MINOR, oldest[1] - 1, -1):
        path = shutil.which(f"python3.{minor}")
        # A version manager's stand-in for a Python that is not chosen only says so.
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


def version_of(peer: Contender) -> str:
    """The installed version of a peer's own package, such as "openai 3.54.0"; empty where there is none."""
    if peer.environment is None or not (ENVIRONMENTS / peer.environment / ".ready").exists():
        return ""
    package = peer.requirements[0].partition("[")[0]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    python = str(ENVIRONMENTS / peer.environment / "bin" / "python")
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return f"{package} {asked.stdout.strip()}" if asked.returncode == 0 else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
