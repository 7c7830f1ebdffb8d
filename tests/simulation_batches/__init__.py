"""Runs by a Batch API in the simulated world: a provider with lost replies, lists that lag, expiry, and crashes of the client."""
