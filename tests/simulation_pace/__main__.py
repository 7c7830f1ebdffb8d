"""`python -m tests.simulation_pace PICTURE.png` plays all models and plots limit, in flight and throughput; needs matplotlib."""

from __future__ import annotations

import sys

from tests.simulation_pace.play import BIN_S, play
from tests.simulation_pace.servers import MODELS


def main(picture: str) -> None:
    """Write the picture, and print a line of figures for each model."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(4, 4, figsize=(20, 12), layout="constrained")
    for panel, model in zip(panels.flat, MODELS, strict=True):
        trace = play(model)
        end = model.duration
        print(
            f"{model.name:38s} {trace.throughput(60, end):7.0f} tokens/s, {100 * trace.refused / trace.sent:.2f} % refused,"
            f" {trace.mean_in_flight(60, end):.0f} in flight"
        )
        panel.set_title(model.name)
        times = [at for at, _, _ in trace.states]
        panel.plot(times, [limit for _, limit, _ in trace.states], label="limit", lw=1)
        panel.plot(times, [flight for _, _, flight in trace.states], label="in flight", lw=0.7)
        if model.slots(0) < 1e6:
            panel.plot(times, [model.slots(at) for at in times], "k:", label="slots", lw=1)
        panel.set_ylim(0, None)
        bins = range(int(end / BIN_S))
        other = panel.twinx()
        other.plot([b * BIN_S for b in bins], [trace.tokens.get(b, 0) / BIN_S for b in bins], "g", lw=0.7, label="tokens/s")
        other.set_ylim(0, None)
    panels[0, 0].legend(loc="lower right")
    figure.savefig(picture, dpi=48)


main(sys.argv[1])
