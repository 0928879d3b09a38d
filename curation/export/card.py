"""The card of an export, `README.md`: what is in it, from where, how it was cleaned, how wrong it still is.

Markdown with the front matter that the Hugging Face Hub reads. Whatever comes from outside (names, sites, queries) is
escaped.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curation.export.hugging_face import files_of
from curation.export.loading import loading_code
from curation.export.manifest import Manifest
from curation.sites import host_of
from curation.values import CleanedSample, Role

_MOST_ROWS = 20  # of sites and queries; categories are all there
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")  # of Markdown, and what would begin HTML

_COLUMNS = {
    "category, category_id": "what it is taken to show; ids stay the same over all exports of a workspace",
    "web_category": "the name it was gathered under",
    "role": "`base`: clean and labelled; `novel`: gathered from the web",
    "weight": "sample weight, averages 1 over the web category; high = trust",
    "noise_probability": "calibrated probability that `category` is wrong; 0 where a person has confirmed it",
    "suggested_category, suggested_probability": "what the noise model thinks it shows; empty: nothing of these",
    "flags": "suspicions, joined by a bar",
    "set_aside": "in an export of everything: why the cleaned set leaves it out; else empty",
    "copies_group": "pictures that are near copies of each other share it; empty: no copy known",
    "split": "part of the split, if any; no picture and no copy of it is in two parts",
    "sample_id, image_id, sha256, uri": "what it is, and where its bytes came from",
    "source_url, query, rank, title, source_split, license": "what the crawler noted",
}


def card_text(name: str, manifest: Manifest, samples: Sequence[CleanedSample], forms: Mapping[str, int]) -> str:
    """The text of `README.md`; `name` is that of the folder, `forms` counts images by suffix."""
    sections = [
        _front_matter(name, manifest, samples),
        f"# {_plain(name)}\n",
        _what(manifest, samples, forms),
        _noise(manifest),
        _cleaning(manifest),
        _origin(samples),
        _categories(manifest, samples),
        _loading(name, manifest),
        _columns(),
    ]
    return "\n".join(section for section in sections if section)


def _front_matter(name: str, manifest: Manifest, samples: Sequence[CleanedSample]) -> str:
    """YAML; strings are written as JSON, which is YAML too. `license` is `other` where that of every image is known."""
    kept = manifest.counts.kept
    licensed = bool(samples) and all(sample.crawl.license for sample in samples)
    lines = [
        "---",
        f"pretty_name: {json.dumps(name)}",
        f"license: {'other' if licensed else 'unknown'}",
        "task_categories:",
        "- image-classification",
        f"size_categories:\n- {json.dumps(next((size for most, size in _SIZES if kept < most), 'n>1M'))}",
        "tags:\n- webnoise-curation\n- noisy-labels\n- web-images",
    ]
    if manifest.format == "hf":
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for part in manifest.counts.kept_by_split or [None]:
            pattern = files_of(part)
            lines += [f"  - split: {pattern.rpartition('-')[0]}", f"    path: {json.dumps(pattern)}"]
    return "\n".join([*lines, "---\n"])


def _what(manifest: Manifest, samples: Sequence[CleanedSample], forms: Mapping[str, int]) -> str:
    counts = manifest.counts
    by_role = Counter(sample.role for sample in samples)
    told = [f"{by_role[Role.NOVEL]:,} gathered from the web by name"] if by_role[Role.NOVEL] else []
    told += [f"{by_role[Role.BASE]:,} clean base images, at weight 1"] if by_role[Role.BASE] else []
    lines = [
        f"{counts.kept:,} images of {len(counts.kept_by_category):,} categories: {', '.join(told)}. Written as "
        f"`{manifest.format}` by {_plain(f'webnoise-curation {manifest.tool_version}')} on "
        f"{manifest.created_at:%Y-%m-%d}.",
        "",
        f"- cleaned set: `{manifest.cleaned_set_hash}`",
        f"- content of this export: `{manifest.content_hash}`",
        f"- files: {', '.join(f'{number:,} {suffix}' for suffix, number in sorted(forms.items()))}",
        *(f"- {_plain(note)}" for note in manifest.notes),
    ]
    if counts.kept_by_split:
        shares = manifest.provenance.get("split") or {}
        lines.append("")
        lines += _table(
            ("part", "share asked for", "images"),
            ((_plain(part), shares.get(part, ""), f"{number:,}") for part, number in counts.kept_by_split.items()),
        )
    return "\n".join(lines) + "\n"


def _noise(manifest: Manifest) -> str:
    """What is expected to be wrong, where the noise model has spoken of every sample."""
    promise = manifest.provenance.get("promise")
    noise = (promise or {}).get("noise") or manifest.provenance.get("noise")
    if not noise:
        return ""
    of = "unmarked novel" if manifest.counts.marked_by_reason else "novel"
    lines = [
        "## Expected noise\n",
        f"**{noise['expected']:.1%}** of the {of} images are expected to be wrong (90 % interval "
        f"{noise['low']:.1%} to {noise['high']:.1%}).",
    ]
    if promise:
        lines.append(
            f"Promised: at most {promise['promise']:.1%}, at the upper end of that interval. "
            f"Basis: {_plain(promise['calibration'])}."
        )
    return "\n".join(lines) + "\n"


def _cleaning(manifest: Manifest) -> str:
    known, counts = manifest.provenance, manifest.counts
    lines = [
        "## How it was cleaned\n",
        f"A similarity network learned on clean base categories (`{_code(known.get('network'))}`) compared the "
        f"embeddings of encoder `{_code(known.get('encoder_name') or known.get('encoder'))}`; a noise model learned on "
        f"noise made there judged them. {known.get('decisions') or 0:,} decisions of people counted before both.",
        "",
        f"Of {counts.considered:,} samples {counts.kept:,} are here, {counts.set_aside:,} are not (`set_aside.csv`).",
        "",
        *_table(
            ("reason", "set aside", "here, marked"),
            (
                (
                    _plain(reason),
                    f"{counts.set_aside_by_reason.get(reason, 0):,}",
                    f"{counts.marked_by_reason.get(reason, 0):,}",
                )
                for reason in sorted(counts.set_aside_by_reason.keys() | counts.marked_by_reason.keys())
            ),
        ),
        "",
        *_flags(known),
        "Versions, configuration and all counts: `manifest.json`.",
    ]
    return "\n".join(lines) + "\n"


def _flags(known: Mapping[str, Any]) -> list[str]:
    """How many samples of the workspace carry each flag, and which of the flags set aside."""
    raised, config = known.get("flags"), known.get("config") or {}
    if not isinstance(raised, dict) or not raised:
        return []
    against = (config.get("cleaned_set") or {}).get("set_aside") or []
    judged = " `outlier` and `label_flip` gave way to the threshold of the promise." if known.get("promise") else ""
    return [
        f"Flags in the workspace: {', '.join(f'`{name}` {number:,}' for name, number in raised.items())}. "
        f"Set aside for: {', '.join(f'`{name}`' for name in against) or 'none'}.{judged}",
        "",
    ]


def _origin(samples: Sequence[CleanedSample]) -> str:
    """Sites, queries and licences."""
    sites = Counter(host_of(sample.crawl.source_url) for sample in samples)
    queries = Counter((sample.crawl.query or "").strip() for sample in samples)
    licences = Counter((sample.crawl.license or "").strip() for sample in samples)
    lines = [
        "## Where it is from, and licences\n",
        f"{len(samples) - sites['']:,} of {len(samples):,} images say the address they were found at (`source_url`), "
        f"{len(samples) - licences['']:,} a licence (`license`, in the words of their source; nobody has checked it). "
        "Images from the web belong to whoever made them: whether you may use or pass on those of unknown licence is "
        "for you to find out.",
    ]
    for title, found in (("licence", licences), ("site", sites), ("query", queries)):
        known = Counter({value: number for value, number in found.items() if value})
        if known or title == "licence":
            lines += ["", *_table((title, "images"), _most_common(known, found[""]))]
    return "\n".join(lines) + "\n"


def _most_common(found: Counter[str], unknown: int) -> Iterable[tuple[str, str]]:
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    yield from ((_plain(value), f"{number:,}") for value, number in most[:_MOST_ROWS])
    if rest := most[_MOST_ROWS:]:
        yield f"*{len(rest):,} others*", f"{sum(number for _, number in rest):,}"
    if unknown:
        yield "*unknown*", f"{unknown:,}"


def _categories(manifest: Manifest, samples: Sequence[CleanedSample]) -> str:
    parts = list(manifest.counts.kept_by_split)
    ids = {sample.category: sample.category_id for sample in samples}
    by_part = Counter((sample.category, sample.split) for sample in samples)
    weights: dict[str, float] = defaultdict(float)
    for sample in samples:
        weights[sample.category] += sample.weight
    total = manifest.counts.kept_by_category
    rows = (
        (
            category_id,
            _plain(category),
            f"{total[category]:,}",
            *(f"{by_part[category, part]:,}" for part in parts),
            f"{weights[category] / total[category]:.2f}",
        )
        for category, category_id in sorted(ids.items(), key=lambda item: item[1])
    )
    return (
        "\n".join(["## Categories\n", *_table(("id", "category", "images", *map(_plain, parts), "mean weight"), rows)])
        + "\n"
    )


def _loading(name: str, manifest: Manifest) -> str:
    part = next(iter(manifest.counts.kept_by_split), None)
    lines = ["## How to load it\n", "From the folder that holds this one:\n"]
    for title, code in loading_code(manifest.format, name, part):
        lines += [f"With {title}:\n", f"```python\n{code}```\n"]
    return "\n".join(lines)


def _columns() -> str:
    rows = ((", ".join(f"`{name}`" for name in names.split(", ")), meaning) for names, meaning in _COLUMNS.items())
    return "\n".join(["## Columns\n", *_table(("column", "meaning"), rows)]) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    return [_row(header), _row(["---"] * len(header)), *map(_row, rows)]


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """`text` on one line, as Markdown that shows just it."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: object) -> str:
    """`text` for a code span."""
    return " ".join(str(text or "unknown").replace("`", "'").split())
