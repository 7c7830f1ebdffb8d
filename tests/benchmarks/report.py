"""The tables of docs/benchmarks.md and of the README."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.contenders import ALL, OURS, PEERS
from tests.benchmarks.figures import middle, number, ratio_of_medians, table
from tests.benchmarks.goals import by_round, findings
from tests.benchmarks.samples import Sample, Samples
from tests.benchmarks.setup import version_of

HEAD = (
    "what",
    "fast rows/s",
    "promptmill ÷ it",
    "whole process rows/s",
    "promptmill ÷ it",
    "CPU µs/row",
    "it ÷ promptmill",
    "slow rows/s",
    "share of ideal",
    "CPU µs/row",
    "peak MB, fast / slow",
)
SLOW_IDEAL = 2000
PROFILES = ("profile", "profile-streamed")
PROFILED = """\
By cProfile over a whole run of the main process, which makes calls of small functions dearer than they are. A share has what a package
takes itself, and what it calls of the interpreter and of libraries in C. What the kernel does to send and receive is transport's."""
BUSY = """\
The machine was shared while this was measured. Only ratios within one run count, and of these the CPU's more than the rows/s': two that
wait for the same busy cores draw together, and a contender that ran in the first round only met another load than the others."""
NOTES = """\
*Fast*: the endpoint answers at once, 64 connections, {fast} rows. *Slow*: it answers after 0.5 s, 1,000 connections, {slow} rows (ideal:
2,000 rows/s). Rows/s are counted by the endpoint's log, from the first request to the last reply; *whole process* is from start to exit,
start-up and outputs included. CPU is user + system of the whole process tree, start-up included, by answered row. Medians of the rounds;
ratios are medians of the ratios of runs that stood side by side in one round. A † marks what was cut at the time limit: its figures are of
what it had done by then. The floors keep nothing, check nothing and have no time-outs; the hand-written loop
keeps its answers, but syncs nothing and cannot resume after a stop. The cookbook's own script takes one row a turn and sleeps 1 ms in each,
which bounds it; the rendering here does the same, with its connector's limit lifted."""


def comparison(samples: Samples) -> str:
    """The table of promptmill, floors and peers, as it stands in the README."""
    fast, slow = samples.newest("fast"), samples.newest("slow")
    present = [contender for name, contender in ALL.items() if any(run.contender == name for run in [*fast, *slow])]
    order = {contender.name: -(_middle(fast, contender.name, lambda s: s.rate) or 0) for contender in present}
    lines = [_line(contender.name, contender.title, fast, slow) for contender in sorted(present, key=lambda c: order[c.name])]
    return table(HEAD, lines)


def document(samples: Samples, command: str) -> str:
    """docs/benchmarks.md, whole."""
    fast, slow = samples.newest("fast"), samples.newest("slow")
    goals = table(("goal", "what", "measured", "verdict"), [(f.name, f.goal, f.measured, f.verdict) for f in findings(samples)], texts=4)
    parts = [
        "# Benchmarks",
        f"Made by `{command}`; do not edit. {_machine(samples)}",
        BUSY if _loads(samples) > (os.cpu_count() or 1) else "Only ratios within one run count: machines differ, and swing.",
        "## promptmill and its peers on the same rows",
        comparison(samples),
        NOTES.format(fast=_rows(fast), slow=_rows(slow)),
        *_failures([*fast, *slow]),
        "## Goals",
        goals,
        *_profiles(samples),
        "## When",
        "The parts were measured one after the other, with the time limits shown; the code may have changed between them.",
        _sessions(samples),
        "## Versions",
        _versions(samples),
    ]
    return "\n\n".join(parts) + "\n"


def _line(name: str, title: str, fast: Sequence[Sample], slow: Sequence[Sample]) -> list[str]:
    ours, it = OURS.name, name

    def ratio(value: str, over: str, under: str) -> str:
        figures = [by_round(fast, who, lambda s: getattr(s, value)) for who in (over, under)]
        return "1" if over == under else number(ratio_of_medians(*figures), 2)

    keeps_pace = ALL[name].fixed  # wrk is not a whole process over given rows
    slow_rate = _middle(slow, name, lambda s: s.rate)
    return [
        title + (" †" if any(run.cut for run in [*fast, *slow] if run.contender == name) else ""),
        number(_middle(fast, name, lambda s: s.rate)),
        ratio("rate", ours, it),
        number(_middle(fast, name, lambda s: s.whole_rate)) if keeps_pace else "–",
        ratio("whole_rate", ours, it) if keeps_pace else "–",
        number(_middle(fast, name, lambda s: s.cpu_us)),
        ratio("cpu_us", it, ours),
        number(slow_rate),
        "–" if slow_rate is None else f"{slow_rate / SLOW_IDEAL:.0%}",
        number(_middle(slow, name, lambda s: s.cpu_us)),
        f"{number(_middle(fast, name, lambda s: s.peak_mb))} / {number(_middle(slow, name, lambda s: s.peak_mb))}",
    ]


def _middle(runs: Sequence[Sample], name: str, value: object) -> float | None:
    return middle(list(by_round(runs, name, value).values()))  # type: ignore[arg-type]


def _failures(runs: Sequence[Sample]) -> list[str]:
    failed = {(run.part, run.contender): run.problem.strip().splitlines()[-1][:160] for run in runs if run.problem}
    if not failed:
        return []
    return ["Not measured:", "\n".join(f"- {ALL[name].title}, {part}: {why}" for (part, name), why in failed.items())]


def _profiles(samples: Samples) -> list[str]:
    """Where the time goes, by the newest profiles."""
    plain, streamed = ({name: share for run in samples.newest(part) for name, share in run.extra.items()} for part in PROFILES)
    if not plain:
        return []
    rows = [(name, f"{share:.0%}", f"{streamed[name]:.0%}" if name in streamed else "–") for name, share in plain.items()]
    return ["## Where the time goes", PROFILED, table(("of promptmill's own time", "answers at once", "streamed"), rows)]


def _machine(samples: Samples) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    days = sorted({sample.session[:10] for part in {s.part for s in samples.all} for sample in samples.newest(part)})
    return (
        f"Measured {' to '.join(dict.fromkeys([days[0], days[-1]])) if days else 'never'} on {os.cpu_count()} cores of {_processor()}, "
        f"{memory:.0f} GB, {platform.system()} {platform.release()}; load average before the runs: {_loads(samples):.1f} (median)."
    )


def _loads(samples: Samples) -> float:
    return middle([run.load for part in {s.part for s in samples.all} for run in samples.newest(part)]) or 0.0


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _sessions(samples: Samples) -> str:
    lines = []
    for part in dict.fromkeys(sample.part for sample in samples.all):
        runs = samples.newest(part)
        limits = {run.limit_s for run in runs if run.limit_s}
        limit = f"{max(limits):.0f} s" if limits else "not noted"
        load = f"{min(run.load for run in runs):.1f} to {max(run.load for run in runs):.1f}"
        lines.append((part, runs[0].session, runs[0].commit or "not noted", number(len({run.round for run in runs})), limit, load))
    return table(("part", "begun", "commit", "rounds", "time limit", "load average"), lines, texts=3)


def _versions(samples: Samples) -> str:
    from importlib.metadata import version

    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip().rpartition("/")[2]
    own = [f"promptmill {version('promptmill')}", f"Python {platform.python_version()}"]
    own += [f"{name} {version(name)}" for name in ("httptools", "uvloop", "httpx", "aiohttp")]
    ran = {sample.contender for sample in samples.all}
    peers = dict.fromkeys(version_of(peer) for peer in PEERS if peer.name in ran)
    return ", ".join([*own, f"nginx {nginx}", *(name for name in peers if name)]) + "."


def _rows(runs: Sequence[Sample]) -> str:
    return f"{runs[0].rows:,}" if runs else "no"
