"""`shards`: every embedding shard is what its name says, the SHA-256 of its bytes."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open

from curation.doctor.finding import Finding, ok, problem
from curation.doctor.inputs import DoctorInputs

_SAMPLED = 64  # shards of 1,024 images, 100 MB: a tenth of a second; --thorough reads all


def find(inputs: DoctorInputs) -> list[Finding]:
    """One finding: of all shards their headers and lengths, of some (or all, `thorough`) every byte."""
    paths = sorted(inputs.workspace.embeddings.glob("*/*.safetensors"))
    read = paths
    if not inputs.thorough and len(paths) > _SAMPLED:
        read = random.sample(paths, _SAMPLED)  # others each time
    damaged = sorted({path for path in paths if not _has_header(path)} | {path for path in read if not is_whole(path)})
    told = "all" if len(read) == len(paths) else f"{len(read):,} drawn at random (--thorough reads all)"
    if not damaged:
        return [ok(f"{len(paths):,} shards of embeddings; the bytes of {told} are right.")]

    def repair() -> str:
        gone = [path for path in damaged if path.exists() and not is_whole(path)]
        for path in gone:
            path.unlink()
        return f"deleted {len(gone)} damaged shards; `curate run {inputs.workspace.root}` embeds their images again."

    return [
        problem(
            f"{len(damaged):,} of {len(paths):,} shards of embeddings are damaged, {damaged[0]} for one.",
            f"--fix deletes them; then `curate run {inputs.workspace.root}` embeds their images again. Check the disk.",
            repair,
        )
    ]


def is_whole(path: Path) -> bool:
    """Whether a shard's bytes are those it is named after."""
    return sha256(path.read_bytes()).hexdigest().startswith(path.stem)


def _has_header(path: Path) -> bool:
    """Whether it begins as a shard does and is as long as it should be."""
    try:
        with safe_open(path, framework="np") as shard:
            return {"sha256", "embeddings"} <= set(shard.keys())
    except (SafetensorError, OSError):
        return False
