"""Vectors in, neighbours out. Knows arrays only: no samples, no files of ours, no SQL."""
