"""baseten-performance-client (Rust): one batch_post of all rows; the answers are written when the last one has come."""

from __future__ import annotations

from baseten_performance_client import PerformanceClient, RequestProcessingPreference
from common import KEY, MODEL, Results, options, prompt, read_rows

chosen = options()
rows = read_rows(chosen.rows)
# Its own bounds on what is in flight are left, but for the number that promptmill has too.
preference = RequestProcessingPreference(max_concurrent_requests=chosen.connections, timeout_s=300)
client = PerformanceClient(base_url=chosen.url, api_key=KEY)
payloads = [{"model": MODEL, "messages": [{"role": "user", "content": prompt(row)}], "temperature": 0} for row in rows]
answers = client.batch_post(url_path="/chat/completions", payloads=payloads, preference=preference)
results = Results(chosen.out)
for row, answer in zip(rows, answers.data, strict=True):
    results.keep(row, answer["choices"][0]["message"]["content"], answer["usage"])
