"""The review app: annotators clear suspicious images in a browser. Screens describe; `curation.review` decides."""
