"""The report: one HTML file that needs no network, made of a run's results and of what its scores allow one to say."""
