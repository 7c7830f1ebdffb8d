"""The observers that a job asks for: its log, metrics, notifications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from batch.app.run_log import RunLog
from batch.app.running import RunOptions
from batch.events import Observer
from batch.executors.costs import run_spent_usd
from batch.job import LoadedJob
from batch.rundir.local import RunDirectory


@contextmanager
def watching(loaded: LoadedJob, directory: RunDirectory, options: RunOptions, report: Callable[[str], None]) -> Iterator[list[Observer]]:
    """Yield them, and free the address of the metrics after the body; hold the run directory's lock.

    `report` gets a sentence, from any thread. Raises SetupError, StorageError.
    """
    job = loaded.job
    found: list[Observer] = [RunLog(directory.path, options.log_level)]
    closing = ExitStack()
    if job.run.metrics is not None:
        # A library that most runs do without.
        from batch.app.metrics import Metrics

        metrics = Metrics(job.run.metrics, directory)
        closing.callback(metrics.close)
        found.append(metrics)
    if job.run.traces is not None:
        from batch.executors.tracing import check_tracing

        check_tracing()
    if job.notify.webhook is not None or job.notify.command is not None:
        from batch.app.notifications import Notifier

        cap = job.run.max_cost_usd
        spent = run_spent_usd(directory) if cap is not None and directory.exists else 0.0
        hidden = {variant.provider.api_key_env for variant in job.variants if variant.provider.api_key_env}
        found.append(Notifier(job.notify, report, max_cost_usd=cap, spent_usd=spent, hidden=hidden))
    with closing:
        yield found
