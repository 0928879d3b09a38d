"""The nightly run, and what learns from a cleaned set.

The latter reads exports through `curation.export.reading`; none of them touches the store.
"""
