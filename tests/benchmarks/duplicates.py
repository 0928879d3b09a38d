"""Near copies on real images: recall by kind of edit, precision against photographs of one species and video frames.

Originals: every bird of the test data and every frame of CamVid; edits: 16 kinds (and a harder one) of 120 birds drawn
at random. All are searched together, as one workspace would be: embeddings of the ImageNet network for candidates.

How it is counted. A pair of an edit and its original is right; pairs of two edits of one original are not counted.
Every other pair is wrong, but for frames that are practically equal: at 160 x 120 pixels, unaligned, at most 10 % of
the pixels differ by more than 25 grey levels (the car stands). That is strict: in the wrong pairs of frames the car has
rolled on by a metre. It is strict with birds as well: of the nine pairs of originals found, all show one photograph
twice (cropped, mirrored, some under two species), as a look at them tells.
"""

from __future__ import annotations

import os
import random
import resource
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from curation.config import DuplicatesConfig
from curation.duplicates import NearCopies, near_copies, nearest_pairs
from curation.encoders import load_encoder
from curation.fingerprint import fingerprint_of
from curation.image_quality import grey_picture
from curation.images import square_pixels
from curation.values import FloatArray
from tests.pictures import EDITS, HARDER_EDITS

_EDITED = 120
_SEED = 5
_EQUAL_SHARE, _EQUAL_LEVELS = 0.1, 25
_BATCH = 64


@dataclass(frozen=True, slots=True)
class _Picture:
    """An original (`edit` is empty) or an edit of one; `origin` names the original's file."""

    origin: Path
    edit: str
    image: Image.Image

    @property
    def is_frame(self) -> bool:
        return "camvid" in self.origin.parts


def run() -> dict[str, Any]:
    """Figures by kind of edit, and of all together; needs the real data (`CURATION_DATA`)."""
    data = Path(os.environ.get("CURATION_DATA", Path(__file__).parents[3] / "shared"))
    if not (data / "data" / "birds").is_dir():
        raise SystemExit(f"skipped: no real data at {data}; set CURATION_DATA to the folder that holds `data`.")
    pictures = _pictures(data / "data")
    started = perf_counter()
    fingerprints = [fingerprint_of(grey_picture(picture.image)) for picture in pictures]
    fingerprint_s = perf_counter() - started
    embeddings = _embeddings(pictures, data / "weights")
    config = DuplicatesConfig()
    started = perf_counter()
    candidates = nearest_pairs(embeddings, config.neighbours, config.min_cosine)
    search_s = perf_counter() - started
    started = perf_counter()
    copies = near_copies([str(place) for place in range(len(pictures))], fingerprints, candidates, config)
    compare_s = perf_counter() - started
    verdicts = _verdicts(pictures, copies)
    rows = _rows(pictures, copies)
    promised = [row["found"] for row in rows if row["edit"] in EDITS]
    return {
        "pictures": len(pictures),
        "candidates": len(candidates),
        "fingerprint_ms": 1000 * fingerprint_s / len(pictures),
        "search_s": search_s,
        "compare_s": compare_s,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "recall": sum(promised) / (_EDITED * len(promised)),
        **verdicts,
        "rows": rows,
    }


def _pictures(data: Path) -> list[_Picture]:
    birds = sorted((data / "birds").glob("*/*/*.jpg"))
    frames = sorted(path for path in (data / "segmentation" / "camvid").glob("*/*.jpg"))
    originals = [_Picture(path, "", Image.open(path).convert("RGB")) for path in (*birds, *frames)]
    rng = random.Random(_SEED)
    edited = rng.sample(originals[: len(birds)], _EDITED)
    edits = [
        _Picture(picture.origin, name, edit(picture.image, rng))
        for picture in edited
        for name, edit in ({**EDITS, **HARDER_EDITS}).items()
    ]
    return originals + edits


def _embeddings(pictures: list[_Picture], weights: Path) -> FloatArray:
    encoder = load_encoder(f"timm/mobilenetv2_100@{weights / 'mobilenetv2_100_imagenet.safetensors'}", "auto")
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    return np.concatenate(
        [
            encoder.embed(
                np.stack([square_pixels(picture.image, encoder.input_px, encoder.crop_share) for picture in batch])
            )
            for batch in batches
        ]
    )


def _rows(pictures: list[_Picture], copies: NearCopies) -> list[dict[str, Any]]:
    """Per kind of edit, how many are linked to their original itself, and the least likeness of those."""
    places = {picture.origin: str(place) for place, picture in enumerate(pictures) if not picture.edit}
    rows = []
    for name in {**EDITS, **HARDER_EDITS}:
        edits = [(str(place), picture) for place, picture in enumerate(pictures) if picture.edit == name]
        scores = [copies.get(place, {}).get(places[picture.origin]) for place, picture in edits]
        found = [score for score in scores if score is not None]
        rows.append(
            {
                "edit": name,
                "edits": len(edits),
                "found": len(found),
                "recall": len(found) / len(edits),
                "least_likeness": min(found, default=None),
            }
        )
    return rows


def _verdicts(pictures: list[_Picture], copies: NearCopies) -> dict[str, Any]:
    """Right and wrong pairs, and precision; see the module for how they are counted."""
    right = wrong_birds = equal_frames = wrong_frames = 0
    for one, others in copies.items():
        for other in others:
            first, second = pictures[int(one)], pictures[int(other)]
            if int(one) > int(other):
                continue
            if first.origin == second.origin:
                right += not first.edit
            elif first.is_frame and second.is_frame:
                equal = _share_that_differs(first.image, second.image) <= _EQUAL_SHARE
                equal_frames, wrong_frames = equal_frames + equal, wrong_frames + (not equal)
            else:
                wrong_birds += 1
    wrong = wrong_birds + wrong_frames
    return {
        "right_pairs": right,
        "wrong_pairs_of_birds": wrong_birds,
        "frames_practically_equal": equal_frames,
        "wrong_pairs_of_frames": wrong_frames,
        "precision": right / max(1, right + wrong),
    }


def _share_that_differs(first: Image.Image, second: Image.Image) -> float:
    one, other = (
        np.asarray(image.convert("L").resize((160, 120), Image.Resampling.BOX), dtype=np.float32)
        for image in (first, second)
    )
    return float((np.abs(one - other) > _EQUAL_LEVELS).mean())
