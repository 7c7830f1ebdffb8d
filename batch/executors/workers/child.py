"""A worker process, started by `batch.executors.workers.local`: `python -m batch.executors.workers.child DESCRIPTOR`.

The descriptor is its end of a socket pair. The first message is (Assignment, keys); then the worker checks in until the run is over.
It dies with its parent, however that ends. Signals are left to the parent: a terminal sends Ctrl-C to both.
"""

from __future__ import annotations

import signal
import socket
import sys

import anyio
from anyio.abc import SocketStream

from batch.errors import PromptmillError
from batch.executors.workers.messages import LinkError
from batch.executors.workers.wire import Wire, WireLink
from batch.executors.workers.worker import work
from batch.process import die_with_parent, has_uvloop, tune_gc, tune_malloc


async def _main(descriptor: int) -> None:
    wire = Wire(await SocketStream.from_socket(socket.socket(fileno=descriptor)))
    try:
        assignment, keys = await wire.receive()
        await work(assignment, keys, WireLink(wire))
    except LinkError:
        return  # the parent is gone
    finally:
        await wire.close()


def main() -> None:
    """Work until the run is over."""
    tune_gc()
    tune_malloc()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    die_with_parent()
    try:
        # A worker has no child processes, so uvloop can be used.
        anyio.run(_main, int(sys.argv[1]), backend_options={"use_uvloop": has_uvloop()})
    except PromptmillError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
