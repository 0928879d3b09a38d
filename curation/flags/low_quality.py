"""`low_quality`: too small, too long, blank or blurred to be worth looking at."""

from __future__ import annotations

from collections.abc import Iterator

from curation.config import QualityConfig
from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, ImageFacts


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag samples of any role whose image misses a threshold; the reason says which and by how much."""
    reasons = {digest: " ".join(shortcomings(facts, inputs.quality)) for digest, facts in inputs.facts.items()}
    return [
        Flag(sample.sample_id, FlagName.LOW_QUALITY, reasons[sample.sha256])
        for sample in inputs.samples
        if sample.sha256 is not None and reasons.get(sample.sha256)
    ]


def shortcomings(facts: ImageFacts, quality: QualityConfig) -> Iterator[str]:
    """One sentence for every threshold that a readable image misses."""
    if facts.reason is not None or facts.width_px == 0 or facts.height_px == 0:
        return
    shorter_px, longer_px = sorted((facts.width_px, facts.height_px))
    if shorter_px < quality.min_side_px:
        yield (
            f"It is small: its shorter side has {shorter_px} pixels, {shorter_px / quality.min_side_px:.0%} of the "
            f"{quality.min_side_px} wanted."
        )
    if longer_px / shorter_px > quality.max_aspect:
        yield (
            f"It is a strip: {facts.width_px} x {facts.height_px} pixels, {longer_px / shorter_px:.3g} times as long "
            f"as wide, {longer_px / shorter_px / quality.max_aspect:.0%} of the {quality.max_aspect:g} allowed."
        )
    if facts.contrast is not None and facts.contrast < quality.min_contrast:
        yield (
            f"It is blank: its grey values vary by {facts.contrast:.2g}, {facts.contrast / quality.min_contrast:.0%} "
            f"of the {quality.min_contrast:g} wanted."
        )
    elif facts.sharpness is not None and facts.sharpness < quality.min_sharpness:  # nothing to be sharp in a blank one
        yield (
            f"It is blurred: its sharpness is {facts.sharpness:.2g}, {facts.sharpness / quality.min_sharpness:.0%} of "
            f"the {quality.min_sharpness:g} wanted."
        )
