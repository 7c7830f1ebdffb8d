"""A worker process, started by `batch.distributed.local`: `python -m batch.distributed.child DESCRIPTOR`.

The descriptor is its end of a socket pair. The first message that comes is (Assignment, keys); then it checks in until it is over.
It dies with its parent, however that ends. Signals are the parent's business: a terminal sends Ctrl-C to both.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import sys

import anyio
from anyio.abc import SocketStream

from batch.distributed.messages import LinkError
from batch.distributed.wire import Wire, WireLink
from batch.distributed.worker import work
from batch.errors import PromptmillError
from batch.process import collect_seldom, has_uvloop, keep_little

_PR_SET_PDEATHSIG = 1


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
    """Work until it is over."""
    collect_seldom()
    keep_little()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        # It has no child processes, so uvloop helps as it does a run in one process.
        anyio.run(_main, int(sys.argv[1]), backend_options={"use_uvloop": has_uvloop()})
    except PromptmillError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
