"""Concurrency limits of one endpoint: fixed, adaptive, or shared with other workers."""
