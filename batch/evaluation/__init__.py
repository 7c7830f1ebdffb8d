"""Evaluation: scores of outcomes, what they allow one to say, and the report. Nothing here sends a request for a row again."""
