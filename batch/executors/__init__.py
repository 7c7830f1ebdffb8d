"""Executors: how a job is carried out. `live` runs in this process, `workers` in several."""
