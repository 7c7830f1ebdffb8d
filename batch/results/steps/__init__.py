"""Rows made of another run's answers, and the files in which they are kept."""
