"""The journal: the append-only record of outcomes, read back by an index. The only truth of a run."""
