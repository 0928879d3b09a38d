"""Verbs of the `curate` command that have a file of their own; `app.cli` lists them all."""
