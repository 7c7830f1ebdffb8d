"""Keys on the wire and off it, at the level of a run: faults 27, 29 and 31."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.support.jobs import JobFolder, check_accounts, rows_sent, run_here
from tests.support.scripted import RESET, Action, Received, ScriptedEndpoint, answer, chat_reply, error, http
from tests.support.scripts import for_rows, row_number, tls_server
from tests.support.streams import delta, sse

KEY = 'sk-canary/7Qx+"Zü9=Kp4%w&vT2mB'.replace("ü", "u")
PROXY_PASSWORD = "proxy-canary-9f3kQ7zX"
ENVIRON = {"HOUSE_KEY": KEY}
PROVIDER = 'api_key_env = "HOUSE_KEY"'


def forms(secret: str) -> list[bytes]:
    """The secret as it may stand in a file: plain, URL-encoded, JSON-escaped, in base64 at each alignment."""
    shown = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
    }
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + secret.encode())
        shown.add(coded[4 if offset else 0 : len(coded) - 4].decode())
    return [form.encode() for form in shown]


def assert_nowhere(secret: str, folder: JobFolder, *outputs: str) -> None:
    """The secret is in no file of the folder, but the job's own, and in no output."""
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert any("journal" in str(path) for path in files)
    for form in forms(secret):
        for path in files:
            assert form not in path.read_bytes(), f"{path}: {form!r}"
            assert form not in os.fsencode(path)
        for text in outputs:
            assert form not in text.encode(), text


def echoes(received: Received) -> Iterable[Action]:
    """Throws the key back in every way: in error bodies of all kinds, headers, redirects and answers; each row in its own."""
    key = received.headers["authorization"].removeprefix("Bearer ")
    coded = base64.b64encode(f"user:{key}".encode()).decode()
    replies: dict[int, list[Action]] = {
        0: [error(400, f"bad request with {key}")],
        1: [error(400, json.dumps({"error": {"message": f"escaped {key}", "code": key}}).replace("/", "\\/").encode())],
        2: [http(500, f"<html>{quote(key)} {quote_plus(key)} {coded}</html>".encode(), {"x-your-key": key}, content_type="text/html")],
        3: [http(200, f"not JSON: {key}".encode())],
        4: [http(200, ("x" * 1990 + key).encode())],
        5: [chat_reply(f"Your key is {key}, in base64 {coded}", headers={"x-your-key": key}, reasoning_content=quote(key, safe=""))],
        6: [http(200, json.dumps({"error": {"message": f"inner {key}", "code": 400}}).encode())],
        7: [b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + key.encode(), RESET],
        8: [error(403, {"detail": f"{key} may not"})],
        9: [http(200, b"{}" + key.encode(), {"content-encoding": key[:8]})],
    }
    return replies.get(row_number(received)) or answer(received)


@pytest.mark.parametrize("stream", [False, True])
def test_an_echoed_key_is_in_no_file_and_no_output(tmp_path: Path, stream: bool) -> None:
    """Fault 29, promise 12: over runs with all echoes, --debug, status, verify and export, the key is nowhere in any encoding."""

    def streaming(received: Received) -> Iterable[Action]:
        key = received.headers["authorization"].removeprefix("Bearer ")
        number = row_number(received)
        if number == 5:
            return [sse(delta(content=f"Your key: {key[:9]}"), delta(content=key[9:]), delta("stop"))]
        if number == 10:
            return [sse(delta(content="x"), f"junk {key}")]
        if number == 11:
            return [sse({"error": {"message": f"inner {key}", "code": 400}})]
        return echoes(received)

    with ScriptedEndpoint(for_rows(streaming if stream else echoes)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=14)
        folder.write(provider=PROVIDER, attempts=2, stream=stream)
        outputs = []
        commands = [
            ["--debug", "run", "test.toml"],
            ["status", "runs/test"],
            ["--debug", "try", "test.toml", "--row", "5"],
            ["run", "test.toml", "--retry-failed"],
            ["status", "runs/test", "--json"],
            ["verify", "runs/test"],
            ["export", "runs/test", "--format", "csv", "--output", "out"],
        ]
        # What reads the journal alone does not know how its answers came.
        for command in commands[: 3 if stream else None]:
            ended = folder.run(*command, environ=ENVIRON)
            assert "Traceback" not in ended.stderr
            outputs += [ended.stdout, ended.stderr]
        assert {received.headers["authorization"] for received in endpoint.requests} == {f"Bearer {KEY}"}
    assert "[redacted]" in "".join(outputs)
    assert len(folder.errors()) >= 8
    assert_nowhere(KEY, folder, *outputs)
    check_accounts(folder)


STOPS: dict[str, Action] = {
    "quota": error(429, {"error": {"message": f"no money on {KEY}", "code": "insufficient_quota"}}),
    "redirect": http(302, b"", {"location": f"http://elsewhere.test/v1?key={quote(KEY, safe='')}"}),
    "outage": error(500, f"cannot work with {KEY}"),
    "refusal of the list": error(401, f"wrong key {KEY}"),
}


@pytest.mark.parametrize("name", STOPS)
def test_an_echoed_key_is_not_in_the_reason_of_a_stop(tmp_path: Path, name: str) -> None:
    """Fault 29: the sentence that says why a run stopped, and the notices on the way, do not hold the key."""
    with ScriptedEndpoint(lambda received: [STOPS[name]]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30)
        folder.write(provider=PROVIDER, outage_timeout_s=0.5)
        ended = folder.run("--debug", "run", "test.toml", environ=ENVIRON)
    assert ended.returncode == 5, ended.stderr
    assert "[redacted]" in ended.stderr
    for form in forms(KEY):
        assert form not in (ended.stdout + ended.stderr).encode()
        assert not [path for path in folder.directory.rglob("*") if path.is_file() and form in path.read_bytes()]


CRASH = """
import sys
from batch.engine.dispatcher import Dispatcher

def broken(self, now):
    raise RuntimeError(f"a bug that quotes Bearer {KEY}")

import os
KEY = os.environ["HOUSE_KEY"]
Dispatcher.take = broken
from batch.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("debug", [True, False])
def test_a_traceback_holds_no_key(tmp_path: Path, debug: bool) -> None:
    """Fault 29, promise 12: a bug in promptmill whose exception quotes the key: exit code 70, and what is shown is redacted."""
    import subprocess
    import sys

    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        folder.write(provider=PROVIDER)
        command = [sys.executable, "-c", CRASH, *(["--debug"] if debug else []), "run", "test.toml"]
        ended = subprocess.run(command, cwd=tmp_path, env=os.environ | ENVIRON, capture_output=True, text=True)
    assert ended.returncode == 70, ended.stderr
    assert ("a bug that quotes" in ended.stderr) == debug
    assert ("[redacted]" in ended.stderr) == debug
    for form in forms(KEY):
        assert form not in (ended.stdout + ended.stderr).encode()
    with ScriptedEndpoint(port=endpoint.port):
        assert folder.run(environ=ENVIRON).returncode == 0
    assert_nowhere(KEY, folder)


def test_a_redirect_is_refused_and_the_other_host_sees_nothing(tmp_path: Path) -> None:
    """Fault 27, promise 12: a redirect to another origin stops the run with 5 and says where to; the other host gets no request."""
    with ScriptedEndpoint() as other:
        target = f"{other.url}/chat/completions"
        with ScriptedEndpoint(for_rows(lambda _: [http(307, b"", {"location": target})])) as endpoint:
            session = run_here(JobFolder(tmp_path, endpoint.url, rows=20, concurrency=2))
            assert rows_sent(endpoint) <= 2
        assert (other.requests, other.connections) == ([], 0)
    assert (session.exit_code, session.tally.not_attempted) == (5, 20)
    assert (
        session.reason == f"house: the endpoint redirects to {target}, and redirects are not followed: set base_url to where it really is"
    )


def test_a_bad_certificate_stops_the_run(tmp_path: Path) -> None:
    """Fault 31: a certificate that nobody vouches for: nothing is sent, exit code 5, and no setting turns the check off."""
    with ScriptedEndpoint(tls=tls_server()) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        for preflight in (True, False):
            folder.write(preflight=preflight)
            session = run_here(folder)
            assert (session.exit_code, session.tally.not_attempted) == (5, 5)
            assert "certificate" in session.reason.lower()
        assert endpoint.requests == []


def test_the_password_of_a_proxy_is_redacted(tmp_path: Path) -> None:
    """Faults 29, 30: a proxy of the environment that refuses, with its password in its URL: the password is in no file and no output."""
    proxy = f"http://user:{PROXY_PASSWORD}@127.0.0.1"

    def refuse(received: Received) -> Iterable[Action]:
        return [error(407, f"{proxy} is not let in: {received.headers.get('proxy-authorization')}")]

    with ScriptedEndpoint(refuse) as endpoint:
        folder = JobFolder(tmp_path, "http://model.test/v1", rows=3)
        folder.write(trust_env=True, attempts=1, outage_timeout_s=0.5)
        ended = folder.run("--debug", "run", "test.toml", environ={"HTTP_PROXY": f"{proxy}:{endpoint.port}", "NO_PROXY": ""})
        assert len(endpoint.requests) > 1
    assert ended.returncode in {1, 5}, ended.stderr
    assert_nowhere(PROXY_PASSWORD, folder, ended.stdout, ended.stderr)


WRITTEN = {"query": "AIzaSyD-canary9f3kQ7", "header": "gw-canary-8Hd2mQ5z", "path": "a8F2kq93ZxT71b"}
VARIABLES = {
    "SECRET_HOUSE_QUERY_KEY": WRITTEN["query"],
    "SECRET_HOUSE_HEADERS_X_GATEWAY_TOKEN": WRITTEN["header"],
    "SECRET_HOUSE_URL_1_PART_1": WRITTEN["path"],
}


def test_a_secret_written_out_is_in_no_file(tmp_path: Path) -> None:
    """Promise 12: secrets in a URL's path, query and headers that the job file writes out reach the endpoint and nothing else."""

    def handler(received: Received) -> Iterable[Action]:
        posted.append(received.path)
        assert received.headers["x-gateway-token"] == WRITTEN["header"]
        row = row_number(received)
        if row < 2 and len(seen) < 4:
            seen.append(row)
            return [error(400, f"{received.path} of {WRITTEN['header']} is refused")]
        return [chat_reply(f"answer to {received.prompt}")]

    seen: list[int] = []
    posted: list[str] = []
    provider = f'query = {{ key = "{WRITTEN["query"]}", version = "2024-10-21" }}\nheaders = {{ X-Gateway-Token = "{WRITTEN["header"]}" }}'
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, f"{endpoint.url.removesuffix('/v1')}/{WRITTEN['path']}/v1", rows=6)
        folder.write(provider=provider, preflight=False)
        folder.job.write_text(folder.job.read_text() + '[[score]]\nkind = "contains"\nexpected = "text"\n')
        outputs = []
        for arguments, environ, code in [
            (["run", "test.toml"], {}, 1),
            (["status", "runs/test"], {}, 0),
            (["verify", "runs/test"], {}, 0),
            (["score", "runs/test"], {}, 0),
            (["report", "runs/test"], {}, 0),
            (["resume", "runs/test", "--retry-failed"], {}, 2),
            (["resume", "runs/test", "--retry-failed"], VARIABLES, 1),
            (["run", "test.toml", "--retry-failed"], {}, 0),
        ]:
            ended = folder.run(*arguments, environ=environ)
            assert ended.returncode == code, (arguments, ended.stderr)
            outputs += [ended.stdout, ended.stderr]
    assert set(posted) == {f"/{WRITTEN['path']}/v1/chat/completions?key={WRITTEN['query']}&version=2024-10-21"}
    assert "SECRET_HOUSE_QUERY_KEY, which is not set (export SECRET_HOUSE_QUERY_KEY=…; the job file writes this secret out" in "".join(
        outputs
    )
    folder.job.unlink()
    for secret in WRITTEN.values():
        assert_nowhere(secret, folder, *outputs)
    check_accounts(folder)


def test_reading_a_run_needs_no_variables(tmp_path: Path) -> None:
    """What sends nothing (verify, export, score) works without the variables of URLs, queries and headers; what sends names them."""
    with ScriptedEndpoint(lambda received: [chat_reply(f"answer to {received.prompt}")]) as endpoint:
        folder = JobFolder(tmp_path, "${HOUSE_URL}", rows=3)
        folder.write(provider='query = { zone = "${ZONE}" }\nheaders = { X-Team = "${TEAM}" }', preflight=False)
        environ = {"HOUSE_URL": endpoint.url, "ZONE": "7", "TEAM": "search"}
        assert folder.run(environ=environ).returncode == 0
        assert endpoint.requests[-1].headers["x-team"] == "search"
        assert endpoint.requests[-1].path.endswith("?zone=7")
    assert folder.run("verify", "runs/test").returncode == 0
    assert folder.run("export", "runs/test", "--format", "csv", "--output", "out").returncode == 0
    ended = folder.run("resume", "runs/test")
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in environ)
