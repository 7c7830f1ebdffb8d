"""Runs by a provider's Batch API, against a server with the semantics that providers document."""
