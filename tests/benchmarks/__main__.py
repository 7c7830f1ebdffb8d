"""`python -m tests.benchmarks run [PART …]`, `floor`, `report`, `profile`: see --help and docs/benchmarks.md."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.contenders import ALL, FLOORS, LOOP, OURS, PEERS, ROOT, Load, run_environment
from tests.benchmarks.endpoint import FAST, SITES, STREAMED, serving
from tests.benchmarks.figures import table
from tests.benchmarks.goals import findings
from tests.benchmarks.inputs import write_rows
from tests.benchmarks.parts import PARTS, QUICK, Scale
from tests.benchmarks.report import comparison, document
from tests.benchmarks.samples import Samples
from tests.benchmarks.session import Session
from tests.benchmarks.setup import ensure_peers, ensure_programs

STORE = ROOT / "build" / "benchmarks"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main(words: list[str]) -> None:
    """Do what the words say."""
    options = _parser().parse_args(words)
    # Ended by SIGTERM, too, it stops nginx and what it measures.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    {"run": run, "floor": floor, "report": report, "profile": profile}[options.command](options)


def run(options: Namespace) -> None:
    """Measure, print, and (but for --quick) write docs/benchmarks.md."""
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    peers = (
        [ALL[name] for name in options.peers.split(",")] if options.peers else [p for p in (LOOP, *PEERS) if p.steady or not options.quick]
    )
    if options.no_peers:
        peers = []
    ensure_programs()
    ensure_peers(peers)
    scale = _scale(options)
    store = STORE / ("quick.jsonl" if options.quick else "full.jsonl")
    with serving() as endpoint, tempfile.TemporaryDirectory(prefix="promptmill-bench-") as folder:
        session = Session(endpoint, Path(folder), store)
        for name in options.parts or PARTS:
            PARTS[name](session, scale, peers)
    _show(Samples.load(store))
    if not options.quick:
        _write(store)


def floor(options: Namespace) -> None:
    """Promptmill and the bare loops under it, in the four loads; nothing is written but the samples."""
    ensure_programs()
    loads = {"fast": (options.rows, 64), "slow": (options.rows // 2, 1000), "streamed": (options.rows // 10, 64)}
    store = STORE / "floor.jsonl"
    with serving() as endpoint, tempfile.TemporaryDirectory(prefix="promptmill-bench-") as folder:
        session = Session(endpoint, Path(folder), store)
        for site in [site for site in SITES if site.name in loads]:
            rows, connections = loads[site.name]
            contenders = [OURS, *FLOORS] if site != STREAMED else [OURS, *FLOORS[:-1]]
            session.compare(site.name, site, contenders, rows=rows, connections=connections, rounds=options.rounds or 3, limit_s=120)
    _show(Samples.load(store))


def report(options: Namespace) -> None:
    """Make docs/benchmarks.md of what was measured last, part by part."""
    del options
    store = STORE / "full.jsonl"
    _show(Samples.load(store))
    _write(store)


def profile(options: Namespace) -> None:
    """Where promptmill's own time goes: cProfile over a run against the fast (or streamed) endpoint, by own time."""
    ensure_programs()
    site = STREAMED if options.streamed else FAST
    with serving() as endpoint, tempfile.TemporaryDirectory(prefix="promptmill-bench-") as name:
        folder = Path(name)
        rows = write_rows(folder / "rows.jsonl", options.rows)
        _, *words = OURS.command(Load(endpoint.url(site), rows, 64, folder, site.streamed))
        command = [sys.executable, "-m", "tests.benchmarks.profiled", str(options.lines), *words]
        subprocess.run(command, cwd=folder, env=run_environment(folder), check=True)


def _scale(options: Namespace) -> Scale:
    scale = QUICK if options.quick else Scale()
    if options.long:
        rows = options.rows
        scale = replace(scale, memory_rows=(10_000, rows), finished_rows=rows, killed_rows=rows, rounds=1, limit_s=300)
        scale = replace(scale, process_rows=min(rows, 1_000_000), parted_rows=200_000)
    if options.limit:
        scale = replace(scale, limit_s=options.limit)
    return replace(scale, rounds=options.rounds) if options.rounds else scale


def _show(samples: Samples) -> None:
    print(comparison(samples))
    print()
    print(table(("goal", "what", "measured", "verdict"), [(f.name, f.goal, f.measured, f.verdict) for f in findings(samples)], texts=4))


def _write(store: Path) -> None:
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(Samples.load(store), "make bench"))
    print(f"\nwritten: {DOCUMENT.relative_to(ROOT)}", file=sys.stderr)


def _parser() -> ArgumentParser:
    parts = "\n".join(f"  {name:10} {part.__doc__}" for name, part in PARTS.items())
    parser = ArgumentParser("python -m tests.benchmarks", description=__doc__, epilog=f"parts:\n{parts}", formatter_class=_Formatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help=run.__doc__, epilog=f"parts:\n{parts}", formatter_class=_Formatter)
    running.add_argument("parts", nargs="*", metavar="PART", help="only these parts (default: all)")
    running.add_argument("--quick", action="store_true", help="small, in about five minutes; docs/benchmarks.md is left alone")
    running.add_argument("--peers", metavar="NAME,…", help=f"only these: {','.join(peer.name for peer in (LOOP, *PEERS))}")
    running.add_argument("--no-peers", action="store_true", help="promptmill and the floors only")
    running.add_argument("--long", action="store_true", help="memory, finished and killed: with --rows rows (hours, and 20 GB of disk)")
    running.add_argument("--rows", type=int, default=10_000_000, help="with --long: how many (default: 10 million)")
    running.add_argument("--rounds", type=int, help="how often everything is done (default: 3, quick: 1)")
    running.add_argument("--limit", type=float, metavar="SECONDS", help="cut contenders that take longer (default: 60, quick: 15)")
    floors = commands.add_parser("floor", help=floor.__doc__)
    floors.add_argument("--rows", type=int, default=20_000)
    floors.add_argument("--rounds", type=int)
    commands.add_parser("report", help=report.__doc__)
    profiling = commands.add_parser("profile", help=profile.__doc__)
    profiling.add_argument("--rows", type=int, default=20_000)
    profiling.add_argument("--lines", type=int, default=50)
    profiling.add_argument("--streamed", action="store_true")
    return parser


class _Formatter(RawDescriptionHelpFormatter):
    """Keeps the list of parts as it is."""


if __name__ == "__main__":
    main(sys.argv[1:])
