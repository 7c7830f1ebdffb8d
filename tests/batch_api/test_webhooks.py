"""The end of a wait for batches: by a webhook that is truly signed, by `promptmill ctl RUN poll`, and without either by the next look."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import time
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from batch.policy.webhooks import TOLERANCE_S, is_signed, signing_key
from tests.batch_api.test_batches import check_done, job
from tests.support.batch_server import BatchServer, Plan
from tests.support.jobs import run_here
from tests.support.processes import free_port
from tests.support.scripts import wait_for

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests").decode()


def signed(body: bytes, *, name: str = "msg_1", moment: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of a message, as OpenAI signs it."""
    stamp = str(int(time.time()) if moment is None else moment)
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), f"{name}.{stamp}.".encode() + body, sha256).digest()
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": f"v1a,bm8= v1,{base64.b64encode(mac).decode()}"}


def test_the_example_of_the_specification() -> None:
    """The message, secret and signature that the Standard Webhooks specification's libraries test with are taken; any change is not."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    now = 1614265330.0
    assert is_signed(key, headers, body, now)
    assert is_signed(key, {**headers, "webhook-signature": "v1,bm8= " + headers["webhook-signature"]}, body, now)
    wrong = (
        (headers, body + b" ", now),
        (headers, body, now + TOLERANCE_S + 1),
        (headers, body, now - TOLERANCE_S - 1),
        ({**headers, "webhook-id": "msg_2"}, body, now),
        ({**headers, "webhook-id": ""}, body, now),
        ({**headers, "webhook-timestamp": "1614265331"}, body, now),
        ({**headers, "webhook-timestamp": "²"}, body, now),
        ({**headers, "webhook-timestamp": "9" * 400}, body, now),
        ({**headers, "webhook-signature": ""}, body, now),
        ({**headers, "webhook-signature": "v1,é"}, body, now),
        ({**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v1a,")}, body, now),
        ({}, b"", now),
    )
    assert not any(is_signed(key, *each) for each in wrong)
    for secret in ("", "whsec_", "not base64!"):
        with pytest.raises(ValueError, match="it is"):
            signing_key(secret)


@pytest.mark.parametrize("by", ["webhook", "ctl"])
def test_the_wait_ends_sooner(tmp_path: Path, by: str) -> None:
    """Looks are an hour apart: a signed message, or `ctl poll`, makes the run look at once; one that is not signed does nothing."""
    with BatchServer(Plan(looks=1000)) as server:
        folder = job(tmp_path, server, rows=20, batch=f'webhook = "127.0.0.1:{(port := free_port())}"')
        folder.job.write_text(folder.job.read_text().replace("poll_s = 0.02", "poll_s = 3600"))
        process = folder.start(environ={**os.environ, "OPENAI_WEBHOOK_SECRET": SECRET})
        wait_for(lambda: len(server.looked) == 2, process)
        for batch in server.batches.values():
            batch.plan.looks = 1
        address, body = f"http://127.0.0.1:{port}/", json.dumps({"type": "batch.completed"}).encode()
        if by == "webhook":
            forged = signed(body, secret="whsec_" + base64.b64encode(b"another").decode())
            assert httpx.post(address, content=body, headers=forged).status_code == 401
            assert httpx.post(address, content=b"x" * (1 << 20) + b"x", headers=signed(b"")).status_code == 413
            assert httpx.get(address).status_code == 501
            assert set(server.looked.values()) == {1}
            assert httpx.post(address, content=body, headers=signed(body)).status_code == 204
        else:
            asked = folder.call("ctl", str(folder.directory), "poll")
            assert (asked.returncode, asked.stdout) == (0, "2 open batches are looked at now\n")
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert SECRET not in err
        check_done(folder, server)


def test_a_secret_that_is_missing_is_said_before_anything_is_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, with one that holds no secret, and with an address that is taken, the run ends with 2 and says so."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=10, batch=f'webhook = "127.0.0.1:{free_port()}"\nwebhook_secret_env = "HOOK"')
        monkeypatch.delenv("HOOK", raising=False)
        missing = folder.call()
        monkeypatch.setenv("HOOK", "no secret!")
        wrong = folder.call()
        monkeypatch.setenv("HOOK", SECRET)
        folder.job.write_text(
            re.sub(r'webhook = ".*"', f'webhook = "127.0.0.1:{server.url.split(":")[2].split("/")[0]}"', folder.job.read_text())
        )
        taken = folder.call()
        assert [each.returncode for each in (missing, wrong, taken)] == [2, 2, 2]
        assert ["is not set" in missing.stderr, "no webhook secret" in wrong.stderr, "cannot be listened on" in taken.stderr] == [True] * 3
        assert "no secret!" not in wrong.stderr
        assert not server.batches


def test_polling_needs_a_run(tmp_path: Path) -> None:
    """A run that has ended has no one to ask: the command says so, with 2."""
    with BatchServer() as server:
        folder = job(tmp_path, server, rows=10)
        assert run_here(folder).exit_code == 0
        assert folder.call("ctl", str(folder.directory), "poll").returncode == 2
