"""The stages: thin shells that read from the store, call the pure functions, and write back. One file a verb."""
