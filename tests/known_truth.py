"""The verdict on benchmarks whose truth is known: python -m tests.known_truth [--runs 200] prints how often it is right (issue 6)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from batch.evaluation.verdict import reach_verdict
from tests.support.evaluation import benchmark

FIRST_SEED = 1000
MODELS = "ABCDE"


@dataclass(frozen=True, slots=True)
class Truth:
    """Five models with these true scores; equal numbers are equal models. `winners` are the best, `equals` the three that are alike."""

    name: str
    scores: tuple[float, ...]
    winners: str
    equals: str


TRUTHS = (
    Truth("three equal at the top", (0.85, 0.85, 0.85, 0.75, 0.70), "ABC", "ABC"),
    Truth("one winner above three equal", (0.92, 0.82, 0.82, 0.82, 0.70), "A", "BCD"),
)
TOO_CLOSE = Truth("a winner by 2 points, too close for these rows", (0.84, 0.82, 0.82, 0.82, 0.70), "A", "BCD")


@dataclass(frozen=True, slots=True)
class Hits:
    """Of so many seeded benchmarks: `right` named exactly the winners, `apart` ranked equals apart, `wrong` left a true winner out."""

    runs: int
    right: int
    apart: int
    wrong: int


def play(truth: Truth, seeds: Sequence[int]) -> Hits:
    """A benchmark and its verdict for each seed: 1,000 rows in clusters of 5, 2 % of the calls fail."""
    right = apart = wrong = 0
    for seed in seeds:
        verdict = reach_verdict(benchmark(seed, truth.scores))
        findings, named = verdict.findings, {standing.variant for standing in verdict.findings.top}
        right += named == set(truth.winners) and (verdict.winner is not None) == (len(truth.winners) == 1)
        wrong += not named >= set(truth.winners)
        apart += any(pair.separable and pair.first in truth.equals and pair.second in truth.equals for pair in findings.pairs)
    return Hits(len(seeds), right, apart, wrong)


def main() -> None:
    """Print the figures of each truth."""
    arguments = argparse.ArgumentParser(prog="python -m tests.known_truth", description="How often the verdict is right.")
    arguments.add_argument("--runs", type=int, default=200, help="seeded benchmarks for each truth")
    runs = arguments.parse_args().runs
    print(f"5 models, 1,000 rows in clusters of 5, 2 % of the calls fail; {runs} seeded benchmarks each")
    for truth in (*TRUTHS, TOO_CLOSE):
        hits = play(truth, range(FIRST_SEED, FIRST_SEED + runs))
        shares = [f"{100 * count / runs:.1f} %" for count in (hits.right, hits.apart, hits.wrong)]
        told = f"winners named rightly {shares[0]}, equals ranked apart {shares[1]}, a true winner left out {shares[2]}"
        print(f"{truth.name} ({', '.join(f'{100 * one:.0f} %' for one in truth.scores)}): {told}", flush=True)


if __name__ == "__main__":
    main()
