"""The demo: an image set drawn for it, with known noise, and the whole flow run on it."""
