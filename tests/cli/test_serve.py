"""`promptmill serve` with the real embedded model."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.local_model


def test_serve_prints_its_url_serves_and_ends_with_ctrl_c() -> None:
    """The base URL, and only that, goes to stdout once the model answers there; Ctrl-C is the orderly end."""
    command = [sys.executable, "-m", "batch"]
    server = subprocess.Popen([*command, "serve", "--parallel", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), server.communicate()
        models = subprocess.run([*command, "models", "llamacpp", "--base-url", url], capture_output=True, text=True)
        assert (models.returncode, models.stdout) == (0, "smollm2-135m-instruct\n")
        server.send_signal(signal.SIGINT)
        out, err = server.communicate()
    finally:
        server.kill()
        server.wait()
    assert (server.returncode, out) == (0, ""), err
    assert err.splitlines()[-1] == "promptmill: stopped"
