"""Child process of the embedded model: load a GGUF file and serve it until the parent is gone.

It is run as a file, by path, and imports nothing of promptmill: so it starts the same from any working directory.
The protocol: settings as one JSON object in argv; `{"base_url": …}` as one line on stdout when it serves; end of file on stdin ends it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_HTTP_THREADS = 256  # each kept-alive connection holds one; those beyond them would starve until another connection closes
_LOG_ERRORS = 1
_ONLY_OURSELVES = "http://127.0.0.1"  # no web page in a browser may talk to it


def _die_with_parent() -> None:
    """Let the kernel kill this process with the thread that started it, also while a model loads and stdin is not read."""
    if sys.platform == "linux":
        # prctl(2): the signal comes also when the parent is killed by SIGKILL, which it cannot hand on.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _take_stdout() -> int:
    """Take the real stdout for the one line of the protocol; what native code prints goes to stderr."""
    reports = os.dup(1)
    # llama.cpp prints to stdout, where the parent reads one line of JSON.
    os.dup2(2, 1)
    return reports


def _serve(settings: dict[str, Any]) -> Any:
    """Start the server, which answers when this returns. Raises RuntimeError when the model cannot be loaded."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model_path"]
    if settings["chat_template"] is not None:
        params.chat_template = Path(settings["chat_template"]).read_text(encoding="utf-8")
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = settings["port"]  # 0: the system picks a free one
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["context"] * settings["parallel"]  # llama.cpp divides it among the slots
    params.n_threads_http = _HTTP_THREADS
    params.cache_ram_mib = 0  # else prompts of finished requests pile up to 8 GiB; slots still reuse common prefixes
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = _ONLY_OURSELVES
    params.verbosity = _LOG_ERRORS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    if settings["embedding"]:
        params.embedding = True
        params.n_batch = params.n_ubatch = settings["context"]  # an input must fit into one physical batch
        if settings["mean_pooling"]:
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return xllamacpp.Server(params)


def main() -> None:
    """Serve until stdin ends.

    Ctrl-C and a service manager's SIGTERM go to the whole process group; the parent then waits for its requests, so this
    process must outlive them: both are ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    reports = _take_stdout()
    try:
        server = _serve(json.loads(sys.argv[1]))
    except RuntimeError as error:  # llama.cpp has already said why
        sys.exit(str(error))
    os.write(reports, json.dumps({"base_url": f"{server.listening_address}/v1"}).encode() + b"\n")
    os.close(reports)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # from here on the endpoint's replies report problems, and stderr has no reader
    os.dup2(silence, 1)
    while os.read(0, 4096):
        pass
    os._exit(0)  # there is nothing to save, and an orderly end would wait for requests and for idle connections


if __name__ == "__main__":
    main()
