"""What `concurrency = "auto"` gets of the best fixed setting on each model of the simulation (goal P9).

`python -m tests.simulation_pace.shares FILE MODELS` writes it as JSON, for the first models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.simulation_pace.play import play
from tests.simulation_pace.servers import MODELS, Model

SETTLED_S = 60

# The best fixed settings: what they get is the most that the model gives, or for refusing ones the slots that are always there.
BEST = {
    "refuses over 50": 50,
    "refuses over 4": 4,
    "refuses over 500": 500,
    "queues over 64": 64,
    "batches up to 256, then queues": 256,
    "starts slowly, refuses": 128,
    "starts slowly, queues": 128,
    "noisy neighbour, refuses": 60,
    "noisy neighbour, queues": 120,
    "limit changes, refuses": 80,
    "limit changes, queues": 140,
    "heavy-tailed answers, refuses over 50": 50,
    "heavy-tailed answers, batches to 256": 256,
}


def share(model: Model) -> float:
    """The rows/s under "auto" after its first minute, divided by those of the best fixed setting."""
    return play(model).throughput(SETTLED_S, model.duration) / best(model)


def best(model: Model) -> float:
    """The rows/s of the best fixed setting."""
    return play(model, concurrency=BEST[model.name]).throughput(SETTLED_S, model.duration)


if __name__ == "__main__":
    judged = [model for model in MODELS if model.name in BEST][: int(sys.argv[2])]
    Path(sys.argv[1]).write_text(json.dumps({model.name: share(model) for model in judged}))
