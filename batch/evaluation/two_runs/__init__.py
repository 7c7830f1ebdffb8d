"""Compare two scored sets of answers row by row: two runs, files of other tools, or a run and a committed baseline."""
