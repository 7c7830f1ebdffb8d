"""lm-evaluation-harness: a generate_until task of our rows on local-chat-completions, its samples logged."""

from __future__ import annotations

import json
import os
from pathlib import Path

from common import KEY, MODEL, Results, options, read_rows

chosen = options()
os.environ["OPENAI_API_KEY"] = KEY

import lm_eval  # noqa: E402 - reads its environment when it is imported

TASK = {
    "task": "capitals",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": chosen.rows}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "What is the capital of {{country}}?",
    "doc_to_target": "",
    "generation_kwargs": {"temperature": 0, "until": []},
    "metric_list": [{"metric": "bypass"}],
}
outcome = lm_eval.simple_evaluate(
    model="local-chat-completions",
    model_args={
        "model": MODEL,
        "base_url": f"{chosen.url}/chat/completions",
        "num_concurrent": chosen.connections,
        "tokenized_requests": False,
    },
    tasks=[TASK],
    apply_chat_template=True,
    log_samples=True,
    bootstrap_iters=0,
)
Path(f"{chosen.out}.scores").write_text(json.dumps(outcome["results"], default=str))
results = Results(chosen.out)
for row, sample in zip(read_rows(chosen.rows), outcome["samples"]["capitals"], strict=True):
    results.keep(row, sample["resps"][0][0])
