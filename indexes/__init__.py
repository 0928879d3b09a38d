"""Vectors in, neighbours out. Knows arrays only: no samples, no files of ours, no SQL.

neighbors.py      the values: kinds, neighbours, errors; checks; the one ranking that every kind ends in
choice.py         which kind for how many vectors on which device
exact.py          exact search with torch, on a CPU or a GPU
faiss_index.py    the door to FAISS: flat, HNSW, inverted lists
recall.py         how much of the truth an index finds
build.py          `build_index`, `load_index` and the index they give
saved.py          an index on disk
"""
