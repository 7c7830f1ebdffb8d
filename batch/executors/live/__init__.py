"""The live executor: this process sends, one session over all endpoints."""
