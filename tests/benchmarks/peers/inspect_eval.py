"""inspect_ai: an eval with a generate solver and no scorer, samples and connections allowed as many as promptmill has."""

from __future__ import annotations

from common import KEY, MODEL, Results, options, prompt, read_rows
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import generate

chosen = options()
rows = read_rows(chosen.rows)
samples = [Sample(id=row["id"], input=prompt(row)) for row in rows]
logs = evaluate(
    Task(dataset=MemoryDataset(samples), solver=generate()),
    model=f"openai/{MODEL}",
    model_base_url=chosen.url,
    model_args={"api_key": KEY, "responses_api": False},
    temperature=0,
    max_connections=chosen.connections,
    max_samples=chosen.connections,
    display="none",
    log_dir=f"{chosen.out}.logs",
)
results, by_id = Results(chosen.out), {row["id"]: row for row in rows}
for sample in logs[0].samples or []:
    results.keep(by_id[sample.id], sample.output.completion)
