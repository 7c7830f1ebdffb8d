"""The goals of PERFORMANCE.md against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.contenders import FLOOR, KEEPS_AT_THE_END, LOOP, OURS, PEERS
from tests.benchmarks.figures import middle, number, ratio_of_medians
from tests.benchmarks.samples import Sample, Samples

GROWTH_MB = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One goal: what was measured for it, and whether it is reached (None: not measured, or on too few rows)."""

    name: str
    goal: str
    measured: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        """The last column."""
        return {True: "reached", False: "**not reached**", None: "not judged"}[self.reached]


def findings(samples: Samples) -> list[Finding]:
    """All goals, in their order."""
    checks: list[Callable[[Samples], Finding]] = [_p1, _p2, _p3, _p4, _p5, _p6, _p7, _p8, _p9, _p10, _p11, _p12, _p13]
    return [check(samples) for check in checks]


def by_round(samples: Sequence[Sample], contender: str, value: Callable[[Sample], float | None]) -> dict[int, float]:
    """A figure of one contender by round, of runs that did not fail."""
    found = {sample.round: value(sample) for sample in samples if sample.contender == contender and not sample.problem}
    return {key: figure for key, figure in found.items() if figure is not None}


def _rate(sample: Sample) -> float:
    return sample.rate


def _whole(sample: Sample) -> float:
    return sample.whole_rate


def _p1(samples: Samples) -> Finding:
    runs = samples.newest("fast")
    floor, loop = (ratio_of_medians(by_round(runs, OURS.name, _rate), by_round(runs, name, _rate)) for name in (FLOOR.name, LOOP.name))
    costs = ratio_of_medians(by_round(runs, OURS.name, lambda s: s.cpu_us), by_round(runs, FLOOR.name, lambda s: s.cpu_us))
    measured = f"{number(loop, 2)} × the loop; {number(floor, 2)} of the bare loop's rows/s, {number(costs, 2)} × its CPU a row"
    goal = f"fast, while sending: ≥ 1.5 × a {LOOP.title}; ≥ 0.3 of the bare loop on the same engine"
    return Finding("P1", goal, measured, None if loop is None or floor is None else loop >= 1.5 and floor >= 0.3)


def _p2(samples: Samples) -> Finding:
    runs = samples.newest("fast")
    kept = [peer for peer in PEERS if peer.name not in KEEPS_AT_THE_END]
    rates = {peer.title: figures for peer in kept if (figures := by_round(runs, peer.name, _whole))}
    goal = f"fast, whole process: ≥ 10 × the fastest peer that keeps its results, then 15 ×; ≥ 1.2 × a {LOOP.title}"
    if not rates:
        return Finding("P2", goal, "no peer ran", None)
    best = max(rates, key=lambda title: middle(list(rates[title].values())) or 0)
    ratio = ratio_of_medians(by_round(runs, OURS.name, _whole), rates[best])
    # A loop that nobody publishes is no peer, but it keeps its answers: without it the ratio would say more than it should.
    loop = ratio_of_medians(by_round(runs, OURS.name, _whole), by_round(runs, LOOP.name, _whole))
    reached = None if ratio is None or loop is None else ratio >= 10 and loop >= 1.2
    told = f"{number(ratio, 1)} × {best}; {number(loop, 1)} × a {LOOP.title}; {_rows(runs)} rows"
    for peer in (peer for peer in PEERS if peer.name in KEEPS_AT_THE_END):
        beside = ratio_of_medians(by_round(runs, OURS.name, _whole), by_round(runs, peer.name, _whole))
        told += f" (not judged: {number(beside, 2)} × {peer.title})"
    return Finding("P2", goal, told, _at_size(runs, 20_000, reached))


def _p3(samples: Samples) -> Finding:
    loads = (("slow", 2000, 0.95), ("crowd", 2000, 0.93), ("throng", 5000, 0.9))
    told, reached = [], []
    for part, ideal, bound in loads:
        ours, floor = (middle(list(by_round(samples.newest(part), name, _rate).values())) for name in (OURS.name, FLOOR.name))
        told.append(f"{_percent(ours / ideal if ours else None)} (bare loop: {_percent(floor / ideal if floor else None)})")
        reached.append(None if ours is None else ours / ideal >= bound)
    goal = "of the ideal rows/s: ≥ 95 % at 1,000 connections (answers after 0.5 s), ≥ 93 % at 4,000 (2 s), ≥ 90 % at 10,000 (2 s)"
    return Finding("P3", goal, "; ".join(told), False if False in reached else None if None in reached else True)


def _p4(samples: Samples) -> Finding:
    told, reached, measured = [], [], list[Sample]()
    for connections, bound in ((64, 90), (1000, 150)):
        runs = sorted((run for run in samples.newest(f"memory{connections}") if not run.failure), key=lambda run: run.rows)
        if not runs:
            continue
        few, many = runs[0], runs[-1]
        # A bound alone would pass a peak that grows with the rows and has not got there yet.
        growth = (many.peak_mb - few.peak_mb) * 1e6 / (many.rows - few.rows) if many.rows > few.rows else None
        peaks = ", ".join(f"{run.peak_mb:.0f} MB at {run.rows:,} rows" for run in runs)
        told.append(f"{connections:,} connections: {peaks} ({number(growth)} bytes a row)")
        reached += [run.peak_mb <= bound for run in runs]
        reached.append(many.peak_mb - few.peak_mb <= GROWTH_MB)
        measured += runs
    goal = "≤ 90 MB at 64 connections, ≤ 150 MB at 1,000, outputs included; ± 10 MB whatever the number of rows"
    return Finding("P4", goal, "; ".join(told) or "–", _at_size(measured, 200_000, all(reached) if reached else None))


def _p5(samples: Samples) -> Finding:
    runs = [run for run in samples.newest("going-on") if not run.failure]
    first = middle([run.first_request_s for run in runs])
    before = middle([run.extra["peak_mb_before_sending"] for run in runs if run.extra])
    told = f"{number(first, 1)} s, {number(before)} MB until then, {number(middle([run.peak_mb for run in runs]))} MB at the end"
    reached = None if first is None or before is None else first <= 5 and before <= 200
    goal = "resuming with 10 million finished rows, input and job unchanged: first request within 5 s, ≤ 200 MB"
    return Finding("P5", goal, f"{told}, {_rows(runs)} rows", _at_size(runs, 10_000_000, reached))


def _p6(samples: Samples) -> Finding:
    told, reached, runs = [], [], []
    for output_format in ("jsonl", "parquet"):
        runs = [run for run in samples.newest(output_format) if not run.failure]
        seconds, peak = middle([run.wall_s for run in runs]), middle([run.peak_mb for run in runs])
        if seconds is not None and peak is not None:
            rate = runs[0].rows / seconds
            told.append(f"{output_format} {rate:,.0f} rows/s, {peak:.0f} MB")
            reached.append(rate >= 150_000 and peak <= 300)
    goal = "outputs of finished rows: ≥ 150,000 rows/s on two cores, JSONL and Parquet, ≤ 300 MB; first part within a tenth of a run"
    reached = [_at_size(runs, 1_000_000, all(reached) if reached else None)]
    measured = f"{'; '.join(told) or '–'}, {_rows(runs)} rows"
    for run in samples.newest("first-part"):
        if not run.failure:
            after = run.extra["after_last_answer_s"]
            measured += f"; {run.contender}: first part after {run.extra['first_part_share']:.1%}, {after:.1f} s after the last answer"
            reached.append(run.extra["first_part_share"] < 0.1)
    return Finding("P6", goal, measured, False if False in reached else None if None in reached else True)


def _p7(samples: Samples) -> Finding:
    help_s = middle([run.wall_s for run in samples.newest("help") if not run.failure])
    ten = samples.newest("ten")
    ten_s = middle(list(by_round(ten, OURS.name, lambda s: s.wall_s).values()))
    peers = [run.wall_s for run in ten if run.contender not in (OURS.name, LOOP.name) and not run.failure]
    beside = f" (peers {min(peers):.1f} to {max(peers):.1f} s)" if peers else ""
    reached = None if help_s is None or ten_s is None else help_s <= 0.1 and ten_s <= 0.3
    told = f"{number(help_s * 1000 if help_s else None)} ms; {number(ten_s, 2)} s{beside}"
    return Finding("P7", "--help ≤ 100 ms; ten rows ≤ 0.3 s, all in", told, reached)


def _p8(samples: Samples) -> Finding:
    runs = samples.newest("processes")
    one, two = (by_round(runs, f"processes-{count}", _rate) for count in (1, 2))
    rates = ratio_of_medians(two, one)
    whole = ratio_of_medians(*(by_round(runs, f"processes-{count}", _whole) for count in (2, 1)))
    costs = ratio_of_medians(*(by_round(runs, f"processes-{count}", lambda s: s.cpu_us) for count in (2, 1)))
    told = f"{number(rates, 2)} × its rows/s while sending, {number(whole, 2)} × as a whole, {number(costs, 2)} × its CPU a row"
    return Finding("P8", "processes = 2 on 2 cores: ≥ 1.6 × one, beginning and end included", told, _at_least(whole, 1.6))


def _p9(samples: Samples) -> Finding:
    shares = {name: share for run in samples.newest("pace") if not run.failure for name, share in run.extra.items()}
    goal = 'concurrency = "auto": ≥ 90 % of the best fixed setting on every model of the simulation'
    if not shares:
        return Finding("P9", goal, "–", None)
    least = min(shares, key=lambda name: shares[name])
    return Finding("P9", goal, f"at least {shares[least]:.0%} ({least}), {len(shares)} models", shares[least] >= 0.9)


def _p10(samples: Samples) -> Finding:
    runs = samples.newest("streamed")
    ours = by_round(runs, OURS.name, _rate)
    ratios = {name: ratio_of_medians(ours, by_round(runs, name, _rate)) for name in ("openai", "openai-aiohttp", FLOOR.name)}
    told = (
        f"{number(ratios['openai'], 1)} × the SDK, {number(ratios['openai-aiohttp'], 1)} × with its aiohttp client, "
        f"{number(ratios[FLOOR.name], 2)} of the bare loop"
    )
    sdk, floor = ratios["openai"], ratios[FLOOR.name]
    goal = "streamed, 60 chunks an answer: ≥ 15 × the OpenAI SDK's rows/s, ≥ 0.5 of the bare loop"
    return Finding("P10", goal, told, None if sdk is None or floor is None else sdk >= 15 and floor >= 0.5)


def _p11(samples: Samples) -> Finding:
    runs = samples.newest("delay")
    middles = {name: middle([run.extra[name] for run in runs if name in run.extra]) for name in ("added_ms_p50", "added_ms_p99")}
    told = f"from sending to having read: p50 {number(middles['added_ms_p50'], 1)} ms, p99 {number(middles['added_ms_p99'], 1)} ms"
    reached = None if middles["added_ms_p99"] is None else middles["added_ms_p99"] <= 20
    return Finding("P11", "a row's added delay p99 ≤ 20 ms at 1,000 rows/s (500 connections, answers after 0.5 s)", told, reached)


def _p12(samples: Samples) -> Finding:
    over, without = samples.newest("secure"), samples.newest("open")
    ours, floor = (ratio_of_medians(by_round(over, name, _rate), by_round(without, name, _rate)) for name in (OURS.name, FLOOR.name))
    told = f"{number(ours, 2)} (bare loop: {number(floor, 2)})"
    return Finding("P12", "over TLS, 64 connections: ≥ 0.6 of the rows/s without", told, _at_least(ours, 0.6))


def _p13(samples: Samples) -> Finding:
    runs = [run for run in samples.newest("killed") if not run.failure]
    goal = "10 million rows by two processes, killed twice at random and resumed: lost 0, doubled 0"
    if not runs:
        return Finding("P13", goal, "–", None)
    run = runs[-1]
    counts = {name: round(run.extra[name]) for name in ("kills", "lost", "doubled", "sent_again")}
    told = f"{run.rows:,} rows, {counts['kills']} kills: lost {counts['lost']}, doubled {counts['doubled']}, "
    told += f"sent again {counts['sent_again']:,}; {run.peak_mb:.0f} MB over all processes"
    return Finding("P13", goal, told, _at_size(runs, 10_000_000, counts["kills"] == 2 and not counts["lost"] and not counts["doubled"]))


def _at_size(runs: Sequence[Sample], rows: int, reached: bool | None) -> bool | None:
    """The verdict, where as many rows were measured as the goal names: fewer say nothing of a million."""
    return reached if runs and max(run.rows for run in runs) >= rows else None


def _at_least(value: float | None, bound: float) -> bool | None:
    return None if value is None else value >= bound


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _rows(runs: Sequence[Sample]) -> str:
    return f"{runs[0].rows:,}" if runs else "no"
