"""Serve the live page of runs. Nothing is sent or changed."""

from __future__ import annotations

import os
from pathlib import Path

from batch.app.viewing.pages import Viewer
from batch.app.viewing.server import ViewServer
from batch.rundir.finding_runs import runs_folder
from batch.rundir.opening import address_of, open_begun


def view_server(place: str | None, port: int = 0) -> ViewServer:
    """Open the server of the page: of a run with those beside it, or of all runs here.

    Raises:
        RunDirectoryError: there is no run at `place`.
        SetupError: the port is in use.
        StorageError: a store cannot be read.
    """
    if place is None:
        return ViewServer(Viewer(runs_folder().absolute()), port)
    # A place without a run is an error here, not a page that stays empty.
    directory = open_begun(place)
    address = address_of(directory)
    folder = Path(os.path.abspath(address)).parent if directory.is_local else runs_folder().absolute()  # noqa: PTH100
    return ViewServer(Viewer(folder, address), port)
