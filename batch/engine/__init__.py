"""The engine: tasks in, attempts paced and retried, outcomes into the journal."""
