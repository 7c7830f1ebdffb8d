"""The run directory: its lock, its manifest and its files, on disk or on an object store."""
