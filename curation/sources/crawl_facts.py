"""The facts a crawler noted of an image, checked: source_url, query, rank, title, split, license."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.errors import SourceError
from curation.values import CrawlFacts

CRAWL_COLUMNS = ("source_url", "query", "rank", "title", "split", "source_split", "license", "licence")


def crawl_facts(values: Mapping[str, Any], where: str) -> CrawlFacts:
    """Crawl facts from one row of a manifest or the JSON of one sample; `where` names it in errors.

    An export of this tool says in `source_split` what its source called the split; `split` is then its own. `licence`
    is read where there is no `license`.
    """
    return CrawlFacts(
        source_url=optional_text(values.get("source_url")),
        query=optional_text(values.get("query")),
        rank=_rank(values.get("rank"), where),
        title=optional_text(values.get("title")),
        split=optional_text(values.get("source_split", values.get("split"))),
        license=optional_text(values.get("license")) or optional_text(values.get("licence")),
    )


def optional_text(value: object) -> str | None:
    """A value as text; None for nothing, for blanks, and for NaN, which is how pandas writes nothing."""
    if value is None or value != value:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if text.strip() else None


def _rank(value: object, where: str) -> int | None:
    text = optional_text(value)
    if text is None:
        return None
    try:
        number = float(text)  # pandas writes 3.0 for an integer column with gaps
        rank = int(number)
    except (ValueError, OverflowError):
        rank, number = 0, 0.5
    if rank != number:
        raise SourceError(f"{where}: rank must be an integer, got {text!r}.", hint="Correct it, or leave it empty.")
    return rank
