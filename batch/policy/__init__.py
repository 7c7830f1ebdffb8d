"""Pure policy: verdicts, waits, limits. No I/O; `now` is an argument."""
