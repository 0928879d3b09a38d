"""Classifiers from exported cleaned sets: `training` reads from top to bottom, everything beside it a part of it."""
