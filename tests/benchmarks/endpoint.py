"""The endpoint of all benchmarks: nginx with the echo module on a free port of this machine, and its own log of what it served.

The log is the one clock for all contenders: rows/s are counted from the first request to the last reply, as the endpoint saw them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
MODEL = "m"
CHUNKS = 60
LOG_FLUSH_S = 0.2
_TEXT = "Paris is the capital of France."
_USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


@dataclass(frozen=True, slots=True)
class Site:
    """One endpoint: answers come `delay_s` after the request, whole or as a stream of `CHUNKS` events, over TLS where `secure`."""

    name: str
    delay_s: float = 0.0
    streamed: bool = False
    secure: bool = False


FAST, SLOW, SLOWER, STREAMED = Site("fast"), Site("slow", 0.5), Site("slower", 2.0), Site("streamed", streamed=True)
SECURE = Site("secure", secure=True)
SITES = (FAST, SLOW, SLOWER, STREAMED, SECURE)


@dataclass(frozen=True, slots=True)
class Served:
    """Replies as nginx logged them: how many, when the first request came and the last reply was sent (epoch, to the millisecond)."""

    count: int
    first: float
    last: float


def reply() -> str:
    """The body of a plain answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}
    return _json({"id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": _USAGE})


def events() -> list[str]:
    """The events of a streamed answer: `CHUNKS` with a word each, the finish reason, the usage, and the end."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": f" word{number}"} for number in range(CHUNKS))]
    chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    chunks.append({**_chunk([]), "usage": _USAGE})
    return [f"data: {text}\n\n" for text in [*map(_json, chunks), "[DONE]"]]


def config(port: int, secure_port: int, folder: Path) -> str:
    """The nginx configuration that serves all sites, those over TLS on `secure_port`; logs and temporary files are in `folder`."""
    return f"""\
load_module {MODULE};
daemon off;
worker_processes 1;
worker_rlimit_nofile 40000;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  log_format served '$msec $request_time $status';
  access_log off;
  keepalive_requests 10000000;
  client_max_body_size 10m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  scgi_temp_path {folder}/scgi;
  uwsgi_temp_path {folder}/uwsgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} backlog=8192;
{"".join(_locations(site, folder) for site in SITES if not site.secure)}  }}
  server {{
    listen 127.0.0.1:{secure_port} ssl backlog=8192;
    ssl_certificate {_certificate(folder)};
    ssl_certificate_key {folder}/key.pem;
{"".join(_locations(site, folder) for site in SITES if site.secure)}  }}
}}
"""


class Endpoint:
    """A running endpoint."""

    def __init__(self, port: int, secure_port: int, folder: Path) -> None:
        self._port, self._secure_port = port, secure_port
        self._folder = folder

    def url(self, site: Site) -> str:
        """The base URL of a site."""
        root = f"https://127.0.0.1:{self._secure_port}" if site.secure else f"http://127.0.0.1:{self._port}"
        return f"{root}/{site.name}/v1"

    @property
    def certificate(self) -> Path:
        """The certificate of the sites over TLS, to be trusted: it is signed by itself."""
        return _certificate(self._folder)

    def mark(self, site: Site) -> int:
        """A place in the log of a site, for `served`."""
        return self.log(site).stat().st_size

    def log(self, site: Site) -> Path:
        """The log of a site: a line for each answer."""
        return _log(self._folder, site)

    def served(self, site: Site, mark: int, since: float) -> Served:
        """What was answered with success, logged after `mark` and asked for after `since` (epoch).

        Waits until nginx has flushed its log, and keeps none of its lines: this process must stay small (see the package's docstring).
        """
        sleep(2 * LOG_FLUSH_S)
        count, first, last = 0, inf, -inf
        with _log(self._folder, site).open() as log:
            log.seek(mark)
            for came, replied, status in map(log_line, log):
                if status == HTTPStatus.OK and came >= since:
                    count, first, last = count + 1, min(first, came), max(last, replied)
        return Served(count, first, last)


def log_line(line: str) -> tuple[float, float, int]:
    """When a request came and when it was answered (seconds since the epoch), and the status, of `1763832000.123 0.500 200`."""
    replied, took, status = line.split()
    return float(replied) - float(took), float(replied), int(status)


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Run nginx in a temporary folder on a free port, and stop it at the end.

    Raises:
        RuntimeError: it does not start; the text holds what it says.
    """
    with tempfile.TemporaryDirectory(prefix="promptmill-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user when root starts it
        port, secure_port = _free_port(), _free_port()
        _make_certificate(folder)
        (folder / "nginx.conf").write_text(config(port, secure_port, folder))
        with (folder / "out.log").open("wb") as out:
            command = ["nginx", "-p", name, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            _wait_until_up(process, port, folder)
            yield Endpoint(port, secure_port, folder)
        finally:
            process.terminate()
            process.wait()


def _locations(site: Site, folder: Path) -> str:
    models = _json({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
    # One directive for each event: nginx takes no string of more than 4,096 bytes, and each event is a chunk of its own on the wire.
    texts = events() if site.streamed else [reply()]
    sleeping = f"      echo_sleep {site.delay_s};\n" if site.delay_s else ""
    body = "".join(f"      echo -n '{_escaped(text)}';\n" for text in texts)
    kind = "      default_type text/event-stream;\n" if site.streamed else ""
    return f"""\
    location /{site.name}/v1/models {{ echo -n '{models}'; }}
    location /{site.name}/v1/chat/completions {{
      access_log {_log(folder, site)} served buffer=64k flush={round(LOG_FLUSH_S * 1000)}ms;
{kind}      echo_read_request_body;
{sleeping}{body}    }}
"""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _chunk(choices: list[dict[str, object]]) -> dict[str, object]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _log(folder: Path, site: Site) -> Path:
    return folder / f"{site.name}.log"


def _certificate(folder: Path) -> Path:
    return folder / "certificate.pem"


def _make_certificate(folder: Path) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/key.pem"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *key, *name, "-days", "2", "-out", str(_certificate(folder))]
    subprocess.run(command, check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_up(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = monotonic() + 10
    while process.poll() is None and monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/fast/v1/models"):
                return
        except (URLError, ConnectionError):
            sleep(0.05)
    said = "\n".join((folder / name).read_text() for name in ("out.log", "error.log") if (folder / name).exists())
    raise RuntimeError(f"nginx did not start: {said.strip() or 'it said nothing'}")
