"""`label_flip`: probably wrong, and another category of the task is likely."""

from __future__ import annotations

from curation.flags.inputs import FlagInputs
from curation.flags.outlier import shows_another
from curation.values import Flag, FlagName


def find(inputs: FlagInputs) -> list[Flag]:
    """Flag suspected samples for which the noise model suggests another category."""
    categories = {sample.sample_id: sample.category for sample in inputs.samples}
    return [
        Flag(item.sample_id, FlagName.LABEL_FLIP, item.explanation)
        for item in inputs.suspected()
        if shows_another(item, categories)
    ]
