"""The report: one HTML file that needs no network, made of a run's results, its scores and their verdicts."""
