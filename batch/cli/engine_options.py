"""The options that choose what carries a run out, and what they mean for Batch APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from batch.executors import EXECUTORS

if TYPE_CHECKING:
    from batch.executors.batch_options import BatchOptions

_NONE = "none"


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """The values of these options. `engine` None is the job's own; `decided` maps numbers of batches to their ids, None for none."""

    engine: str | None
    ray_address: str | None
    detach: bool
    decided: Mapping[int, str | None]

    def words(self) -> list[str]:
        """Return the options that a command line must repeat to continue the run."""
        engine = ["--engine", self.engine] if self.engine not in (None, "live") else []
        return [*map(str, engine), *(["--ray-address", self.ray_address] if self.ray_address else [])]

    def batch(self) -> BatchOptions:
        """Return what they ask of the Batch API executor."""
        from batch.executors.batch_options import BatchOptions

        return BatchOptions(self.detach, False, self.decided)


def engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as `engine`."""
    decorators = (
        click.option(
            "--engine",
            type=click.Choice(list(EXECUTORS)),
            help="Where to run: "
            + "; ".join(f"{name} = {entry.help}" for name, entry in EXECUTORS.items())
            + ".  [default: run.engine of the job]",
        ),
        click.option(
            "--ray-address",
            metavar="HOST:PORT|auto",
            help="The Ray cluster; auto: the one that this machine belongs to. Without it RAY_ADDRESS, else Ray is started here.",
        ),
        click.option("--detach", is_flag=True, help="With a Batch API: end after submission; the same command collects later."),
        click.option(
            "--batch",
            "decided",
            multiple=True,
            metavar="N=ID|none",
            help="Say which batch number N is at its provider, or that there is none, where that cannot be found out.",
        ),
    )

    @wraps(function)
    def command(*args: Any, engine: str | None, ray_address: str | None, detach: bool, decided: tuple[str, ...], **options: Any) -> Any:
        _check_engine(engine, ray_address, detach=detach)
        return function(*args, engine=EngineFlags(engine, ray_address, detach, _decisions(decided)), **options)

    decorated: Callable[..., Any] = command
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated


def grading_engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of calls to models that judge or embed; the command gets `engine`, None for the job's, and `detach`."""

    @wraps(function)
    def command(*args: Any, engine: str | None, detach: bool, **options: Any) -> Any:
        _check_engine(engine, None, detach=detach)
        return function(*args, engine=engine, detach=detach, **options)

    decorated: Callable[..., Any] = command
    for decorate in (
        click.option("--detach", is_flag=True, help="With a Batch API: end after submission; the same command collects later."),
        click.option(
            "--engine",
            type=click.Choice(["live", "batch-api"]),
            help="How models that judge or embed are called.  [default: as the job's rows, where their provider can]",
        ),
    ):
        decorated = decorate(decorated)
    return decorated


def _check_engine(engine: str | None, ray_address: str | None, *, detach: bool) -> None:
    """An address is for Ray alone. Raises UsageError."""
    if ray_address is not None and (engine is None or not EXECUTORS[engine].takes_address):
        raise click.UsageError("--ray-address is for --engine ray; give both")
    if detach and engine not in (None, "batch-api"):
        raise click.UsageError("--detach is for --engine batch-api; give both")


def _decisions(texts: tuple[str, ...]) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for text in texts:
        number, _, name = text.partition("=")
        if not number.isdecimal() or not name:
            raise click.UsageError(f"--batch takes N=ID or N=none, such as 3=batch_abc, not {text!r}")
        found[int(number)] = None if name == _NONE else name
    return found
