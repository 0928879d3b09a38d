"""`outlier`: probably wrong, and no other category of the task is likelier."""

from __future__ import annotations

from collections.abc import Mapping

from curation.flags.inputs import FlagInputs
from curation.values import Flag, FlagName, NoiseEstimate


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag suspected samples for which the noise model has no other category to suggest."""
    categories = {sample.sample_id: sample.category for sample in inputs.samples}
    return [
        Flag(item.sample_id, FlagName.OUTLIER, item.explanation)
        for item in inputs.suspected()
        if not shows_another(item, categories)
    ]


def shows_another(item: NoiseEstimate, categories: Mapping[str, str]) -> bool:
    """Whether the suggestion is a category other than the web category (`categories` by sample id)."""
    return item.suggested_category is not None and item.suggested_category != categories.get(item.sample_id)
