"""The card of an export tells what it is, in a form that people and the Hub read, whatever the names are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import DatasetCard

from curation.config import Config
from curation.export.formats import FORMATS
from curation.export.splits import split_samples
from curation.export.writing import export_cleaned_set
from curation.sources.location import read_bytes
from curation.stages.export import export
from curation.values import CleanedSet, CrawlFacts
from curation.workspace import Workspace
from tests.cleaned_set_factory import cleaned_set, with_kept
from tests.test_promised_export import fill


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and body."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def exported(tmp_path: Path, chosen: CleanedSet, export_format: str = "csv") -> tuple[dict[str, Any], str]:
    export_cleaned_set(chosen, tmp_path / "out", export_format, read_bytes=read_bytes)
    return card_of(tmp_path / "out")


@pytest.mark.parametrize("export_format", FORMATS)
def test_card__says_what_from_where_and_how_much(export_format: str, tmp_path: Path) -> None:
    chosen = cleaned_set(tmp_path / "in")
    front, body = exported(tmp_path, chosen, export_format)
    assert front["pretty_name"] == "out" and front["size_categories"] == ["n<1K"] and front["license"] == "unknown"
    assert "8 images of 2 categories: 8 gathered from the web by name." in body
    assert f"`{chosen.content_hash}`" in body and "- files: 8 jpg" in body
    assert "| example.org | 8 |" in body and "| swallow, barn | 8 |" in body
    assert "found at (`source_url`), 4 a licence" in body
    assert "| licence | images |\n| --- | --- |\n| CC BY-SA 4.0 | 4 |\n| *unknown* | 4 |\n" in body
    assert "Of 10 samples 8 are here, 2 are not" in body and "| label\\_flip | 1 | 0 |" in body
    assert "| 7 | Barn Swallow | 4 | 0.60 |" in body and "encoder `builtin`" in body
    assert "Expected noise" not in body  # no noise model has spoken
    assert DatasetCard.load(tmp_path / "out" / "README.md").data.to_dict()["tags"][0] == "webnoise-curation"


def test_card__of_the_hub_names_the_files_of_every_part(tmp_path: Path) -> None:
    made = cleaned_set(tmp_path / "in")
    made = replace(
        made,
        kept=split_samples(made.kept, {"train": 0.5, "val": 0.5}),
        provenance=made.provenance | {"split": {"train": 0.5, "val": 0.5}},
    )
    front, body = exported(tmp_path, made, "hf")
    found = {item["split"]: item["path"] for item in front["configs"][0]["data_files"]}
    assert found == {"train": "train-*.parquet", "val": "val-*.parquet"}
    counts = {part: sum(sample.split == part for sample in made.kept) for part in ("train", "val")}
    assert f"| train | 0.5 | {counts['train']} |" in body and "| id | category | images |" in body


def test_card__names_from_outside_show_as_they_are(tmp_path: Path) -> None:
    """Nothing of a category, a site or a query becomes Markdown or HTML."""
    nasty = 'x|y `z`\n# <img src="//evil.example/x.png"> [a](javascript:alert(1)) **b**'
    categories = {nasty: 1, "a/b": 2, "unused": 3}
    made = cleaned_set(tmp_path / "in", categories=categories)
    kept = [replace(sample, crawl=CrawlFacts(source_url="http://[", query=nasty)) for sample in made.kept]
    _, body = exported(tmp_path, with_kept(made, kept))
    shown = next(line for line in body.splitlines() if line.startswith("| 1 | x"))
    assert shown == (
        r'| 1 | x\|y \`z\` \# \<img src="//evil.example/x.png"\> \[a\](javascript:alert(1)) \*\*b\*\* | 4 | 0.60 |'
    )
    assert "\n# <img" not in body and not re.search(r"(?<!\\)<img", body)


def test_card__of_many_sites_sums_up_the_rest(tmp_path: Path) -> None:
    made = cleaned_set(tmp_path / "in", per_category=13)
    kept = [
        replace(sample, crawl=CrawlFacts(source_url=f"https://www.site{number:02d}.example/x" if number else None))
        for number, sample in enumerate(made.kept)
    ]
    _, body = exported(tmp_path, with_kept(made, kept))
    assert "| site01.example | 1 |" in body and "| *5 others* | 5 |" in body and "| *unknown* | 1 |" in body
    assert "25 of 26 images say the address" in body and "| query |" not in body


def test_card__licences_are_all_known_or_none(tmp_path: Path) -> None:
    made = cleaned_set(tmp_path / "in")

    def told(name: str, licences: list[str | None]) -> tuple[dict[str, Any], str]:
        crawls = [CrawlFacts(license=licence) for licence in licences]
        kept = [replace(sample, crawl=crawl) for sample, crawl in zip(made.kept, crawls, strict=True)]
        return exported(tmp_path / name, with_kept(made, kept))

    front, body = told("all", ["CC0 1.0", *["https://creativecommons.org/licenses/by/2.0/"] * 7])
    assert front["license"] == "other" and "8 a licence" in body
    assert "| https://creativecommons.org/licenses/by/2.0/ | 7 |\n| CC0 1.0 | 1 |\n\n" in body
    front, body = told("none", [None] * 8)
    assert front["license"] == "unknown" and "| licence | images |\n| --- | --- |\n| *unknown* | 8 |\n" in body


def test_card__states_the_noise_and_the_promise(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    plain = export(workspace, Config(), export_format="csv", out=tmp_path / "plain")
    _, body = card_of(tmp_path / "plain")
    assert plain.promise is None and "% of the novel images are expected to be wrong" in body.replace("**", "")
    promised = export(
        workspace, Config(), export_format="csv", out=tmp_path / "out", promise=0.03, everything=True
    ).promise
    _, body = card_of(tmp_path / "out")
    assert promised is not None and f"**{promised.noise.expected:.1%}** of the unmarked novel images" in body
    assert "Flags in the workspace: `leak` 1, `outlier` 30. Set aside for: `unreadable`, `leak`" in body
    assert "gave way to the threshold of the promise" in body
    assert "Promised: at most 3.0%" in body and "| promise | 0 |" in body
    assert "The promise noise\\<=0.03 holds of the unmarked samples only." in body
