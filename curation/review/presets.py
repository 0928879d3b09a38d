"""What is set beforehand for a tile, so that an annotator only touches the exceptions."""

from __future__ import annotations

from curation.config import ReviewConfig
from curation.values import DecisionAction, Evidence, NoiseEstimate

MOST_LIKELY = 9  # one for each digit key


def preset_verdict(
    estimate: NoiseEstimate | None, web_category: str, review: ReviewConfig
) -> tuple[DecisionAction, str | None]:
    """Keep what is probably right, relabel what probably shows another category, else drop; with the category.

    Without a noise probability it is keep: a weight ranks, but is no probability.
    """
    if estimate is None or estimate.noise_probability < review.preset_noise:
        return DecisionAction.KEEP, None
    suggested = estimate.suggested_category
    if suggested in (None, web_category) or estimate.suggested_probability < review.preset_relabel:
        return DecisionAction.DROP, None
    return DecisionAction.RELABEL, suggested


def likely_categories(estimate: NoiseEstimate | None, evidence: Evidence | None, web_category: str) -> tuple[str, ...]:
    """Up to nine other categories: the suggested one, then the most similar ones."""
    suggested = [estimate.suggested_category] if estimate is not None and estimate.suggested_category else []
    similar = [near.category for near in evidence.nearest] if evidence is not None else []
    others = dict.fromkeys(name for name in (*suggested, *similar) if name != web_category)
    return tuple(others)[:MOST_LIKELY]
