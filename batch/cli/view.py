"""promptmill view: the live page of runs, on this machine alone."""

from __future__ import annotations

from contextlib import suppress

import click

from batch.cli.console import print_info, write
from batch.cli.job_files import run_argument
from batch.cli.options import folders


@click.command("view")
@click.argument("directory", metavar="[RUN_DIR]", required=False, shell_complete=folders, callback=run_argument)
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="The port to serve at.  [default: a free one]")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def view_command(directory: str | None, port: int, opens: bool) -> None:
    """Show runs in the browser, live: rows as they come, and charts over time.

    Serves a page on 127.0.0.1, read only, until Ctrl-C, and prints its address, which has a
    token: the address is enough to read the runs of this folder. Without RUN_DIR the latest run in
    ./runs comes first. For a run on another machine: ssh -L PORT:127.0.0.1:PORT HOST, with --port.
    """
    from batch.app.view import view_server

    server = view_server(directory, port)
    write(server.address)
    print_info("promptmill: open this address in a browser on this machine; Ctrl-C ends the page, not a run")
    if opens:
        click.launch(server.address)
    # The page is over; no run is touched.
    with suppress(KeyboardInterrupt):
        server.serve()
