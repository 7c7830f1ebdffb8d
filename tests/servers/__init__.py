"""Whole runs against servers that we did not write (docs/tried-against.md)."""
