"""Batch files in the format of OpenAI's Batch API: requests out, answers in."""
