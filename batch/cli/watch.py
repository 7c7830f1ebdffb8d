"""promptmill watch: a run in the terminal, redrawn each second."""

from __future__ import annotations

import sys

import click

from batch.cli.options import directory_argument
from batch.errors import SetupError


@click.command("watch")
@directory_argument
def watch_command(directory: str) -> None:
    """Watch a run in the terminal, redrawn each second.

    Progress, rates, latencies, what limits the run, and the newest rows. Keys: f failures,
    a all rows, i in flight, p pause or resume, l set a limit, s twice to stop, q to leave the
    page; the run goes its way. Needs the extra: pip install 'promptmill[watch]'.
    """
    from batch.app.watch import WatchedRun

    # Textual draws on stderr, and reads keys from stdin.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise click.UsageError("watch needs a terminal; promptmill tail and status write lines")
    watched = WatchedRun(directory)
    try:
        from batch.cli.watch_page import WatchPage
    except ImportError as error:
        raise SetupError(f"the watch page needs Textual ({error}): pip install 'promptmill[watch]'") from error
    WatchPage(watched.look, watched.steer).run()
