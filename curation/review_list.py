"""A list of samples for people to look at, as CSV: which image, under which name, and where it is."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO

from curation.export.names import plain_text
from curation.export.tables import DECIMALS
from curation.values import CleanedSample, NoiseEstimate

_BLIND_COLUMNS = ("sample_id", "image_id", "web_category", "uri")
_COLUMNS = (*_BLIND_COLUMNS, "noise_probability", "suggested_category", "explanation")


def review_list(samples: Iterable[CleanedSample], estimates: Mapping[str, NoiseEstimate]) -> bytes:
    """One row a sample, in the order given, with what the noise model says of it: `review.csv`, UTF-8."""
    return _csv(
        _COLUMNS,
        (
            (
                *_blind(sample),
                f"{estimate.noise_probability:.{DECIMALS}f}",
                plain_text(estimate.suggested_category or ""),
                plain_text(estimate.explanation),
            )
            for sample, estimate in ((sample, estimates[sample.sample_id]) for sample in samples)
        ),
    )


def blind_review_list(samples: Iterable[CleanedSample]) -> bytes:
    """The same without the noise model's opinion, which would sway who reviews for an audit: `audit.csv`, UTF-8."""
    return _csv(_BLIND_COLUMNS, map(_blind, samples))


def _blind(sample: CleanedSample) -> tuple[str, ...]:
    return (sample.sample_id, plain_text(sample.image_id), plain_text(sample.web_category), plain_text(sample.uri))


def _csv(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")
