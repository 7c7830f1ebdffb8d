"""What came of a run, read from its journals: outputs, counts, and whether all agrees. Never sends anything."""
