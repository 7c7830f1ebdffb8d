"""What was measured, one record per run of a contender, kept in a file so that a report can be made of parts run at different times."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Only samples of the same `part`, `session` and `round` may be compared: the machine differs from one to the next.

    `load` is the machine's load average before the run (2 cores are busy at 2); `commit` is promptmill's, with a + where its files
    differed from that. `answered` is what the endpoint served within `sending_s`, from its first request to its last reply;
    `first_request_s` is how long after its start the command sent the first.
    """

    part: str
    contender: str
    session: str
    round: int
    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    load: float = 0.0
    answered: int = 0
    sending_s: float = 0.0
    first_request_s: float = 0.0
    kept: int | None = None
    cut: bool = False
    failure: str = ""
    commit: str = ""
    limit_s: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """Why this is no measurement of speed; empty where it is one."""
        return self.failure or ("cut at the time limit before its first answer" if self.cut and not self.answered else "")

    @property
    def rate(self) -> float:
        """Rows a second, from the first request to the last reply."""
        return self.answered / self.sending_s if self.sending_s else 0.0

    @property
    def whole_rate(self) -> float:
        """Rows a second of the whole process."""
        return self.answered / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_us(self) -> float | None:
        """CPU microseconds a row of the whole process tree, start-up included."""
        return self.cpu_s / self.answered * 1e6 if self.answered else None


class Samples:
    """The samples of a file, and of this session."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.all = list(samples)

    @classmethod
    def load(cls, path: Path) -> Samples:
        """What the file holds; nothing where there is none."""
        lines = path.read_text().splitlines() if path.exists() else []
        return cls(Sample(**json.loads(line)) for line in lines)

    def newest(self, part: str) -> list[Sample]:
        """The samples of a part's newest session."""
        found = [sample for sample in self.all if sample.part == part]
        return [sample for sample in found if sample.session == max(one.session for one in found)]


def append(path: Path, sample: Sample) -> None:
    """Keep one more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(sample)) + "\n")
