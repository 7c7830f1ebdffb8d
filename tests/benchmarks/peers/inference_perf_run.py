"""inference-perf: its own load of chats (it takes no rows), as many as there are rows, with requests and answers in its report.

It counts tokens itself, by a tokenizer that it would fetch by the model's name: here one of words, made beforehand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from common import MODEL, Results, options, read_rows
from tokenizers import Tokenizer, models, pre_tokenizers

chosen = options()
rows = read_rows(chosen.rows)
folder = Path(f"{chosen.out}.own")
tokenizer = folder / "tokenizer"
tokenizer.mkdir(parents=True)
words = Tokenizer(models.WordLevel({"[UNK]": 0, "Paris": 1}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
words.save(str(tokenizer / "tokenizer.json"))
(tokenizer / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}))
config = {
    "api": {"type": "chat"},
    "data": {"type": "mock"},
    "load": {
        "type": "concurrent",
        "num_workers": os.cpu_count(),
        "worker_max_concurrency": chosen.connections,
        "stages": [{"num_requests": len(rows), "concurrency_level": chosen.connections}],
    },
    "server": {"type": "vllm", "model_name": MODEL, "base_url": chosen.url.removesuffix("/v1")},
    "tokenizer": {"pretrained_model_name_or_path": str(tokenizer)},
    "report": {"request_lifecycle": {"per_request": True}},
    "storage": {"local_storage": {"path": str(folder / "report")}},
}
(folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
subprocess.run([str(Path(sys.executable).parent / "inference-perf"), "-c", str(folder / "config.yml")], check=True)
results = Results(chosen.out)
kept = json.loads((folder / "report" / "per_request_lifecycle_metrics.json").read_text())
for row, each in zip(rows, kept, strict=True):
    if not each["error"]:
        results.keep(row, each["response"])
