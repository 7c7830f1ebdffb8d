"""Hash a score's settings, the same on every machine, to find whether two sides were scored alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from batch.evaluation.panel import PANEL
from batch.evaluation.scorers import EMBEDDING_VERSION, JUDGE_VERSION, KINDS, RULES_VERSION, deciding_content
from batch.settings import ScoreSettings


def digests(scores: Sequence[ScoreSettings]) -> dict[str, str]:
    """Hash the settings that decide each score's values, by its name. Files count by name and content; paths and addresses do not count.

    Raises:
        SetupError: a file of a score cannot be read.
    """
    found = {score.name: _digest(score, []) for score in scores if score.kind != PANEL}
    # The settings of a panel's members decide its values.
    return found | {
        score.name: _digest(score, [found.get(name) for name in score.options["of"]]) for score in scores if score.kind == PANEL
    }


def _digest(score: ScoreSettings, members: Sequence[str | None]) -> str:
    known: list[Any] = [score.kind, RULES_VERSION, score.expected, _options(score)]
    if score.judge is not None:
        judge = {key: value for key, value in asdict(score.judge).items() if key != "variant"}
        known += [JUDGE_VERSION, score.judge.model, dict(score.judge.variant.parameters), judge]
    elif score.embedder is not None:
        known += [EMBEDDING_VERSION, score.embedder.full_name, dict(score.embedder.parameters)]
    elif score.kind in KINDS:
        known.append(KINDS[score.kind].version)
    known += [members] if members else []
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _options(score: ScoreSettings) -> list[tuple[str, Any]]:
    options = dict(score.options)
    file_option = KINDS[score.kind].file_option if score.kind in KINDS else None
    if file_option is not None:
        named = str(options[file_option])
        options[file_option] = [Path(named).name, *(blake2b(content, digest_size=16).hexdigest() for content in deciding_content(score))]
    return sorted(options.items())
