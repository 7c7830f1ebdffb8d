"""An S3 server on loopback: moto's, in a process of its own that ends with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.scripted import PATIENCE_S
from tests.support.workers import unmeasured

_SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


class S3Server:
    """A running server; buckets are made by `bucket`."""

    def __init__(self, port: int, pid: int) -> None:
        self._pid = pid
        self.hangs = False
        self.url = f"http://127.0.0.1:{port}"
        self._made = 0

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {**ENVIRON, "AWS_ENDPOINT_URL": self.url}

    def bucket(self) -> str:
        """A new, empty bucket."""
        self._made += 1
        name = f"bucket-{self._made}"
        self.system().create_dir(name)
        return name

    def hang(self) -> None:
        """Answer nothing until `resume`; connections are accepted, and what is stored is kept."""
        self.hangs = True
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again, also what came meanwhile."""
        os.kill(self._pid, signal.SIGCONT)
        self.hangs = False

    def system(self):
        """The server as pyarrow sees it, apart from promptmill."""
        from pyarrow.fs import S3FileSystem

        return S3FileSystem(
            access_key="test",
            secret_key="test-secret",
            region="us-east-1",
            endpoint_override=self.url,
            allow_bucket_creation=True,
            # By default a request ends after 3 s without a byte, which a loaded machine may take.
            connect_timeout=PATIENCE_S,
            request_timeout=PATIENCE_S,
        )

    def put(self, path: str, data: bytes) -> None:
        """Put an object at BUCKET/KEY."""
        with self.system().open_output_stream(path, compression=None) as file:
            file.write(data)

    def get(self, path: str) -> bytes:
        """The object at BUCKET/KEY."""
        with self.system().open_input_stream(path, compression=None) as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        """The keys of all objects under BUCKET/KEY, relative to it, sorted."""
        from pyarrow.fs import FileSelector

        found = self.system().get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(each.path.removeprefix(path + "/") for each in found if each.is_file)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server for the body."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER], env=unmeasured(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield S3Server(int(process.stdout.readline()), process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate("")
