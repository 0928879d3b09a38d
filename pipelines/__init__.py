"""What learns from a cleaned set. Reads exports through `curation.export.reading`, never the store."""
