"""Read the results of a run from its journals: outputs, counts, verification. Nothing here sends a request."""
