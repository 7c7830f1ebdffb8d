"""The journal: the append-only record of outcomes, and the run directory that holds it. The only truth of a run."""
