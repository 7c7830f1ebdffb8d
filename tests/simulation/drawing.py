"""What is drawn for a session: its settings, and what its disk refuses."""

from __future__ import annotations

import errno
import random

from batch.settings import Durability, RunSettings
from tests.simulation.disk import Trouble

# Deadlines short enough that outages are lived through often.
TIMES = {
    "connect_timeout_s": 3.0,
    "first_byte_timeout_s": 10.0,
    "idle_timeout_s": 5.0,
    "attempt_timeout_s": 20.0,
    "task_timeout_s": 120.0,
    "outage_timeout_s": 60.0,
    "grace_s": 5.0,
}
# Promise 7. After the last sign of life of an endpoint a wait that it asked for before is waited out, if it is no longer than the
# patience for an outage; an attempt fails, which begins the outage; that ends, and after it an attempt that was under way and one that
# is sent to see whether it serves again; then the rest may end. Some seconds are for disk and threads.
STALL_S = 2 * TIMES["outage_timeout_s"] + 3 * TIMES["attempt_timeout_s"] + TIMES["grace_s"] + 5.0


def draw_settings(chance: random.Random, repeats: int, durability: Durability) -> RunSettings:
    """The [run] table of one session."""
    return RunSettings(
        concurrency=chance.choice((1, 2, 4, 8, "auto")),
        max_concurrency=8,
        requests_per_minute=chance.choice((None, None, None, 300)),
        attempts=chance.choice((1, 2, 3, 4)),
        repeats=repeats,
        stream=chance.random() < 0.4,
        durability=durability,
        preflight=chance.random() < 0.5,
        **TIMES,
    )


def draw_trouble(chance: random.Random, tasks: int) -> Trouble:
    """One session in five gets a disk that refuses something; some disks write in pieces."""
    short = chance.choice((0.0, 0.0, 0.3))
    if chance.random() > 0.2:
        return Trouble(short=short)
    code = chance.choice((errno.ENOSPC, errno.EDQUOT, errno.EIO))
    kind = chance.choice(("write", "sync", "open"))
    at = chance.randint(1, {"write": tasks + 2, "sync": 8, "open": 4}[kind])
    return Trouble(**{kind: at}, code=code, truncates=chance.random() < 0.7, short=short)
