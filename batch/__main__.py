"""`python -m batch` is the `promptmill` command."""

from __future__ import annotations

from batch.cli import main

if __name__ == "__main__":
    main()
