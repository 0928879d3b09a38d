"""The tables beside the images of an export: `samples.csv`, `categories.csv`, `set_aside.csv`, perhaps `review.csv`.

CSV after RFC 4180 in UTF-8: pandas, DuckDB and spreadsheets read it. An empty field is an unknown value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.errors import ExportError
from curation.export.names import plain_text
from curation.export.storage import Placement
from curation.values import CleanedSample, CrawlFacts, Role, SetAside

SAMPLES = "samples.csv"
CATEGORIES = "categories.csv"
SET_ASIDE = "set_aside.csv"
REVIEW = "review.csv"  # made by `curation.review_list` where reviews were budgeted

DECIMALS = 6  # weights and probabilities are written, and hashed, with these many: finer than float32 tells apart
_LONGEST_FIELD = 2**24  # a field of more characters is damage; the csv module's own bound is 131,072

_FACTS = (
    "sample_id",
    "image_id",
    "category",
    "category_id",
    "web_category",
    "role",
    "weight",
    "noise_probability",
    "set_aside",
    "suggested_category",
    "suggested_probability",
    "flags",
    "copies_group",
    "split",
    "sha256",
    "uri",
    "source_url",
    "query",
    "rank",
    "title",
    "source_split",
    "license",
)
SAMPLE_COLUMNS = ("file", *_FACTS, "position", "size_bytes")
# Of schema version 2.
_SAMPLE_COLUMNS_2 = tuple(name for name in SAMPLE_COLUMNS if name != "license")
_NEW_IN_2 = ("set_aside", "suggested_category", "suggested_probability", "flags", "copies_group", "split")
# Of schema version 1, where `split` was what the source said.
_SAMPLE_COLUMNS_1 = tuple(
    "split" if name == "source_split" else name for name in _SAMPLE_COLUMNS_2 if name not in _NEW_IN_2
)
CATEGORY_COLUMNS = ("category_id", "category", "folder")
SET_ASIDE_COLUMNS = ("sample_id", "image_id", "web_category", "uri", "reason", "detail")


def facts_of(sample: CleanedSample) -> dict[str, Any]:
    """What is known of a sample as flat plain values, as every format writes them; `None` where unknown."""
    facts = {
        "sample_id": sample.sample_id,
        "image_id": sample.image_id,
        "category": sample.category,
        "category_id": sample.category_id,
        "web_category": sample.web_category,
        "role": sample.role.value,
        "weight": round(float(sample.weight), DECIMALS),
        "noise_probability": _rounded(sample.noise_probability),
        "set_aside": sample.set_aside,
        "suggested_category": sample.suggested_category,
        "suggested_probability": _rounded(sample.suggested_probability),
        "flags": "|".join(sample.flags),
        "copies_group": sample.copies_group,
        "split": sample.split,
        "sha256": sample.sha256,
        "uri": sample.uri,
        "source_url": sample.crawl.source_url,
        "query": sample.crawl.query,
        "rank": sample.crawl.rank,
        "title": sample.crawl.title,
        "source_split": sample.crawl.split,
        "license": sample.crawl.license,
    }
    return {name: plain_text(value) if isinstance(value, str) else value for name, value in facts.items()}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(float(probability), DECIMALS)


@contextmanager
def new_sample_table(folder: Path) -> Iterator[Callable[[CleanedSample, Placement], None]]:
    """Open a new `samples.csv`; the function it gives appends one row, so that no more than one is held."""
    with (folder / SAMPLES).open("x", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SAMPLE_COLUMNS)
        writer.writeheader()
        yield lambda sample, placement: writer.writerow(_row_of(sample, placement))


def _row_of(sample: CleanedSample, placement: Placement) -> dict[str, Any]:
    row = facts_of(sample)
    row |= {"file": placement.file, "position": placement.position, "size_bytes": placement.size_bytes}
    for name in ("weight", "noise_probability", "suggested_probability"):
        row[name] = None if row[name] is None else f"{row[name]:.{DECIMALS}f}"
    return row


def read_samples(folder: Path) -> Iterator[tuple[CleanedSample, Placement]]:
    """The rows of `samples.csv` in their order; raises `ExportError` naming the row that cannot be understood.

    What exports of earlier schema versions did not have is `None`.
    """
    rows = _read(folder / SAMPLES, SAMPLE_COLUMNS, _SAMPLE_COLUMNS_2, _SAMPLE_COLUMNS_1)
    for number, row in enumerate(rows, start=1):
        try:
            yield _sample_of(row), Placement(row["file"], int(row["position"]), int(row["size_bytes"]))
        except ValueError as error:
            raise _damaged(folder / SAMPLES, f"row {number}: {error}") from error


def _sample_of(row: Mapping[str, str]) -> CleanedSample:
    is_first = "source_split" not in row  # schema version 1
    rank = row["rank"]
    return CleanedSample(
        sample_id=row["sample_id"],
        image_id=row["image_id"],
        role=Role(row["role"]),
        category=row["category"],
        category_id=int(row["category_id"]),
        web_category=row["web_category"],
        weight=float(row["weight"]),
        noise_probability=_probability(row["noise_probability"]),
        uri=row["uri"],
        sha256=row["sha256"],
        crawl=CrawlFacts(
            source_url=row["source_url"] or None,
            query=row["query"] or None,
            rank=int(rank) if rank else None,
            title=row["title"] or None,
            split=row["split" if is_first else "source_split"] or None,
            license=row.get("license") or None,
        ),
        set_aside=row.get("set_aside") or None,
        suggested_category=row.get("suggested_category") or None,
        suggested_probability=_probability(row.get("suggested_probability")),
        flags=tuple(filter(None, row.get("flags", "").split("|"))),
        copies_group=row.get("copies_group") or None,
        split=None if is_first else row["split"] or None,
    )


def _probability(text: str | None) -> float | None:
    return float(text) if text else None


def write_categories(folder: Path, categories: Mapping[str, int], folders: Mapping[str, str]) -> None:
    """Write `categories.csv` in the order of the ids."""
    by_id = sorted(categories.items(), key=lambda item: item[1])
    rows = [(str(category_id), plain_text(name), folders[name]) for name, category_id in by_id]
    _write(folder / CATEGORIES, CATEGORY_COLUMNS, rows)


def read_categories(folder: Path) -> dict[str, int]:
    """Category name -> id."""
    try:
        return {row["category"]: int(row["category_id"]) for row in _read(folder / CATEGORIES, CATEGORY_COLUMNS)}
    except ValueError as error:
        raise _damaged(folder / CATEGORIES, str(error)) from error


def write_set_aside(folder: Path, set_aside: Iterable[SetAside]) -> None:
    """Write `set_aside.csv`."""
    rows = ([plain_text(getattr(item, column)) for column in SET_ASIDE_COLUMNS] for item in set_aside)
    _write(folder / SET_ASIDE, SET_ASIDE_COLUMNS, rows)


def read_set_aside(folder: Path) -> tuple[SetAside, ...]:
    """The rows of `set_aside.csv`."""
    return tuple(SetAside(**row) for row in _read(folder / SET_ASIDE, SET_ASIDE_COLUMNS))


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _read(path: Path, columns: Sequence[str], *older: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a table that has these columns, or those of one of the earlier schemas."""
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            columns = next((earlier for earlier in older if header == list(earlier)), columns)
            if header != list(columns):
                raise _damaged(path, f"its columns are {header}, expected {list(columns)}")
            for line in lines:
                if len(line) != len(columns):
                    raise _damaged(path, f"line {lines.line_num} has {len(line)} fields, expected {len(columns)}")
                yield dict(zip(columns, line, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, what: str) -> ExportError:
    return ExportError(f"{path} is missing or damaged: {what}.", hint="Make the export again with `curate export`.")
