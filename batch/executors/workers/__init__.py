"""One run shared out over workers: shards of its rows, leases of them, shares of the endpoints' limits. Local processes here."""
