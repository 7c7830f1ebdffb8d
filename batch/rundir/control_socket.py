"""The Unix socket by which a running process is steered: `control.sock` in the run directory, for its user alone.

A path of more than about 100 bytes, or a file system that takes no sockets, gets a symbolic link to a socket in a private temporary folder.
Source of the limit: sun_path in unix(7), 108 bytes on Linux and 104 on macOS.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch.errors import RunDirectoryError

NAME = "control.sock"
_OWNER_ONLY = 0o600
_NOT_RUNNING = "no run is active here: nothing listens for commands"


@contextmanager
def bound(directory: Path) -> Iterator[socket.socket]:
    """Bind the socket of a run within the body; hold the run directory's lock. One that a killed run left behind is removed.

    Raises OSError where neither the directory nor the temporary folder takes a socket.
    """
    path = directory / NAME
    _remove(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    aside: Path | None = None
    try:
        try:
            _bind(found, path)
        except OSError:
            aside = Path(tempfile.mkdtemp(prefix="promptmill-"))
            _bind(found, aside / NAME)
            path.symlink_to(aside / NAME)
        found.listen()
        yield found
    finally:
        found.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def connect(directory: Path, place: str, timeout_s: float) -> socket.socket:
    """Connect to the run that is active in a directory, which is shown as `place`.

    Raises:
        RunDirectoryError: no run is active there, or it is another user's.
    """
    path = directory / NAME
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(timeout_s)
    try:
        found.connect(str(_target(path)))
    except OSError as error:
        found.close()
        raise RunDirectoryError(f"{place}: {_refusal(error)}") from error
    return found


def _refusal(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return f"{_NOT_RUNNING} (on this machine); give the same command while the run goes"
    if isinstance(error, PermissionError):
        return "the run belongs to another user, and takes commands from that user only"
    return f"{NAME} cannot be used: {error.strerror or error}"


def _bind(found: socket.socket, path: Path) -> None:
    # On Linux the file gets the mode that the descriptor has; elsewhere it is set a moment later.
    with suppress(OSError):
        os.fchmod(found.fileno(), _OWNER_ONLY)
    found.bind(str(path))
    path.chmod(_OWNER_ONLY)


def _target(path: Path) -> Path:
    """Follow the link that `bound` made. Raises OSError; PermissionError for a link of another user."""
    status = path.lstat()
    if not stat.S_ISLNK(status.st_mode):
        return path
    if status.st_uid != os.geteuid():
        raise PermissionError
    return path.readlink()


def _remove(path: Path) -> None:
    """Remove what a killed run left behind, with the folder of its own that a link leads to."""
    try:
        mode = path.lstat()
    except OSError:
        return
    if stat.S_ISLNK(mode.st_mode):
        target = path.readlink()
        if mode.st_uid == os.geteuid() and target.name == NAME and target.parent.name.startswith("promptmill-"):
            shutil.rmtree(target.parent, ignore_errors=True)
    with suppress(OSError):
        path.unlink()
