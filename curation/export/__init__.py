"""Cleaned sets as folders that training pipelines read.

`writing.export_cleaned_set` writes one, `reading.read_export` reads it back; `formats.FORMATS` lists the formats.
Every export is one folder:

    manifest.json      schema, format, content hash, counts, provenance, a digest of every other table
    samples.csv        one row a kept sample: category, weight, provenance, and where its bytes lie
    categories.csv     every category of the workspace: its id and its name as a folder
    set_aside.csv      one row a sample that is not in, with the reason
    README.md          the card: what, from where, how cleaned, expected noise, how to load it
    similarity.safetensors   the network that the weights are of, where the workspace still has it
    review.csv         what to review first, where a budget was given
    ...                the images, as the format lays them out
"""
