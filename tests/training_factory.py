"""Small exports to train on: plain coloured pictures, a colour a category, some of them under a wrong name."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curation.config import SimilarityConfig
from curation.encoders import load_encoder
from curation.export.manifest import content_hash_of
from curation.export.names import SIMILARITY_NETWORK
from curation.export.reading import ExportedSet, read_export
from curation.export.writing import export_cleaned_set
from curation.similarity.checkpoint import save_network
from curation.similarity.training import train_network
from curation.sources.location import file_uri, read_bytes
from curation.values import CleanedSample, CleanedSet, FloatArray, Role, sample_id_of
from pipelines.classification.config import ClassificationConfig

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}
BASE_COLOURS = {"white": (240, 240, 240), "black": (10, 10, 10)}
CATEGORIES = {name: number for number, name in enumerate((*COLOURS, *BASE_COLOURS))}


def coloured(colour: tuple[int, int, int], seed: int, size: int = 32) -> bytes:
    """A PNG of one colour with noise."""
    noise = np.random.default_rng(seed).normal(0, 40, (size, size, 3))
    data = BytesIO()
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def new_sample(folder: Path, name: str, category: str, data: bytes, **facts: Any) -> CleanedSample:
    """A sample of a file that is written into `folder`; trusted unless `facts` say otherwise."""
    path = folder / name
    path.write_bytes(data)
    digest = sha256(data).hexdigest()
    role = facts.pop("role", Role.NOVEL)
    sample = CleanedSample(
        sample_id=sample_id_of(role, category, name, digest),
        image_id=name,
        role=role,
        category=category,
        category_id=CATEGORIES[category],
        web_category=category,
        weight=1.1,
        noise_probability=0.05,
        uri=file_uri(path),
        sha256=digest,
        suggested_category=category,
        suggested_probability=0.9,
    )
    return replace(sample, **facts)


def coloured_samples(folder: Path, *, per_category: int = 12, wrong: int = 3, base: int = 0) -> list[CleanedSample]:
    """`per_category` pictures of every colour, the first `wrong` of them showing the next one and known to do so."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(COLOURS)
    samples = []
    for number, name in enumerate(names):
        for rank in range(per_category):
            shown = names[(number + 1) % len(names)] if rank < wrong else name
            facts: dict[str, Any] = {}
            if rank < wrong:
                facts = {
                    "weight": 0.2,
                    "noise_probability": 0.95,
                    "set_aside": "label_flip",
                    "flags": ("label_flip",),
                    "suggested_category": shown,
                }
            data = coloured(COLOURS[shown], 100 * number + rank)
            samples.append(new_sample(folder, f"{name}_{rank}.png", name, data, **facts))
    for number, (name, colour) in enumerate(BASE_COLOURS.items()):
        for rank in range(base):
            data = coloured(colour, 1000 + 100 * number + rank)
            facts = {"role": Role.BASE, "weight": 1.0, "noise_probability": None, "suggested_category": None}
            samples.append(new_sample(folder, f"{name}_{rank}.png", name, data, **facts))
    return samples


def small_network(folder: Path) -> bytes:
    """The file of a similarity network that was trained, briefly, on drawn embeddings of the builtin encoder's size."""
    encoder = load_encoder("builtin", "cpu")
    random = np.random.default_rng(0)
    centres = random.normal(size=(6, encoder.dimension))
    embeddings: FloatArray = (np.repeat(centres, 8, axis=0) + random.normal(size=(48, encoder.dimension))).astype("f4")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    config = SimilarityConfig(batches=2, evaluations=1, batch_size=8)
    trained = train_network(embeddings, [str(row // 8) for row in range(48)], config)
    path = folder / "network.safetensors"
    save_network(path, trained, encoder_identity=encoder.identity, config=config)
    return path.read_bytes()


def export_samples(samples: list[CleanedSample], out: Path, *, network: bytes | None = None) -> ExportedSet:
    """An export of these samples that says it was made with the builtin encoder."""
    provenance = {"encoder_name": "builtin", "encoder": load_encoder("builtin", "cpu").identity}
    made = CleanedSet(content_hash_of(samples), tuple(samples), (), dict(CATEGORIES), provenance)
    beside = {} if network is None else {SIMILARITY_NETWORK: network}
    export_cleaned_set(made, out, "imagefolder", read_bytes=read_bytes, beside=beside)
    return read_export(out)


def coloured_export(folder: Path) -> ExportedSet:
    """48 pictures: three novel colours, a quarter of them wrong, two base ones; with a similarity network."""
    return export_samples(coloured_samples(folder / "in", base=6), folder / "out", network=small_network(folder))


SMALL = {"finetune": True, "epochs": 2, "batch_size": 8}  # fine-tuning takes a tenth of a second a step


def config_of(**options: Any) -> ClassificationConfig:
    """A short training on a CPU."""
    return ClassificationConfig(**{"device": "cpu", "epochs": 12, "batch_size": 8, "large_batch": 16, **options})


def coloured_test_set(folder: Path, per_category: int = 6) -> Path:
    """A folder of pictures that are what their names say."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for rank in range(per_category):
            (folder / name / f"{rank}.png").write_bytes(coloured(colour, 5000 + 100 * number + rank))
    return folder
