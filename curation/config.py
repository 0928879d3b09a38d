"""The configuration of a workspace: one small model a stage, read from and written to `curate.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from curation.config_section import Section
from curation.errors import ConfigError
from curation.nightly_config import NightlyConfig
from curation.values import FlagName

Device = Literal["auto", "cpu", "cuda"]


class ImagesConfig(Section):
    """How images are decoded."""

    max_pixels: int = Field(
        80_000_000,
        ge=1_000,
        description="an image of more pixels is refused before it is decoded (decompression bombs)",
    )
    workers: int = Field(0, ge=0, description="decoding processes; 0 = one for every core")
    timeout_s: float = Field(30.0, gt=0, description="seconds one image may take before its worker is ended")


class EmbeddingConfig(Section):
    """How images become embeddings."""

    encoder: str = Field(
        "builtin",
        description="open_clip/MODEL/PRETRAINED, timm/MODEL, timm/MODEL@FILE.safetensors or builtin",
    )
    device: Device = Field("auto", description="auto takes a GPU where there is one")
    shard_size: int = Field(1024, ge=1, description="embeddings in one shard; a killed run loses at most one shard")


class SimilarityConfig(Section):
    """How the similarity network is trained (methods: SimTrans, NeurIPS 2021)."""

    head: Literal["concat2", "concat4", "metric"] = Field(
        "metric", description="concat2 and concat4 as published, metric = projected scaled cosine (fast)"
    )
    projection: int = Field(
        0,
        ge=0,
        description="dimensions that whitening keeps for the head; 0 = 512 for metric, 64 for concat (best on birds)",
    )
    whitening: bool = Field(True, description="start from embeddings whitened within base categories (closed form)")
    shrinkage: float = Field(
        0.0,
        ge=0,
        description="how far whitening is held back, in mean variances; 0 = what suits the held-out categories",
    )
    batches: int = Field(
        0,
        ge=0,
        description="episodic training batches; 0 = 500 for metric (more do not help on birds), 1500 for concat",
    )
    batch_size: int = Field(
        64, ge=4, description="images in a batch, all ordered pairs of them are used (published 64)"
    )
    categories_per_batch: int = Field(20, ge=2, description="base categories in a batch (published default 20)")
    novel_categories_per_batch: int = Field(
        2, ge=1, description="novel categories in an adversarial batch (published 2)"
    )
    learning_rate: float = Field(0.01, gt=0, description="SGD with momentum 0.9 (published default 0.01), halved twice")
    weight_decay: float = Field(1e-4, ge=0, description="published 1e-4")
    similar_weight: float = Field(
        0.0,
        ge=0,
        description="weight of similar pairs in the loss; 1 = published default, 0 = as much as all dissimilar ones",
    )
    beta: float = Field(0.0, ge=0, description="strength of the adversarial loss; 0 = off, published 0.1")
    held_out: float = Field(
        0.2, gt=0, lt=1, description="share of base categories kept out of training to select the network"
    )
    evaluations: int = Field(10, ge=1, description="times the network is judged on the held-out categories")
    seed: int = Field(0, ge=0, description="the same seed gives the same network on a CPU")
    device: Device = Field("auto", description="auto takes a GPU where there is one")


class ScoringConfig(Section):
    """How pairs are compared."""

    exact_up_to: int = Field(
        4000, ge=3, description="a category of more images is compared with a random sample of this many of its images"
    )
    partners: int = Field(
        500,
        ge=2,
        description="images of every other category a sample is compared with, drawn at random where there are more",
    )
    memory_mib: int = Field(256, ge=8, description="bound for the blocks of pairs held at once")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="arithmetic of the concat heads")
    device: Device = Field("auto", description="auto takes a GPU where there is one")


class WeightsConfig(Section):
    """How pair similarities become sample weights."""

    symmetric: bool = Field(True, description="average both orders of a pair (published savg); false = rows only (avg)")
    top_share: float = Field(
        1.0, gt=0, le=1, description="share of the most similar partners that is averaged (published 1)"
    )
    self_pairs: bool = Field(False, description="count the pair of an image with itself (published true)")


class NoiseConfig(Section):
    """How it is learned, on noise made in base categories, which web categories are wrong."""

    enabled: bool = Field(
        True, description="false = no noise probability and no outlier or label_flip flags; needs 6 base categories"
    )
    made_images: int = Field(
        4000, ge=100, description="images in the noisy tasks made of each third of the base categories, about"
    )
    neighbours: int = Field(10, ge=1, description="nearest images whose web categories vote on an image's own")
    contrast: int = Field(
        300, ge=10, description="base images shown to the probe as none of the novel categories (needed for one or two)"
    )
    seed: int = Field(0, ge=0, description="the same seed makes the same noise")


class FlagsConfig(Section):
    """Where a suspicion begins."""

    noise_probability: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="from here on a sample is flagged as outlier or label_flip (0.5: wrong is likelier)",
    )


class DuplicatesConfig(Section):
    """When two pictures are near copies of each other: resized, recompressed, cropped, framed, mirrored, retouched."""

    neighbours: int = Field(
        5, ge=1, description="most similar images, by embedding and by outline, that an image is compared with"
    )
    min_cosine: float = Field(
        0.5,
        ge=-1,
        le=1,
        description="pairs below are not compared; birds shrunk to 64 px keep 0.46 to 0.8",
    )
    min_likeness: float = Field(
        0.96,
        gt=0,
        le=1,
        description="agreement of details, 1 = all; 99 % of edits are above, photographs of one species below 0.7",
    )


class QualityConfig(Section):
    """When an image is hardly worth looking at; such images are flagged, not set aside (see `cleaned_set`)."""

    min_side_px: int = Field(16, ge=1, description="shorter side; below, not even small benchmark images (32 px) go")
    max_aspect: float = Field(4.0, ge=1, description="longer side over shorter; banners and strips, panoramas stay")
    min_contrast: float = Field(
        5.0, ge=0, description="standard deviation of grey values (0 to 127); photographs have 20 to 80"
    )
    min_sharpness: float = Field(
        0.02, ge=0, description="Laplacian over grey variance at 256 px; 0.2 % of birds are below, blurred by 2 px 96 %"
    )


class CleanedSetConfig(Section):
    """What is left out of a cleaned set."""

    set_aside: tuple[FlagName, ...] = Field(
        (
            FlagName.UNREADABLE,
            FlagName.LEAK,
            FlagName.LABEL_CONFLICT,
            FlagName.NEAR_DUPLICATE,
            FlagName.LABEL_FLIP,
            FlagName.OUTLIER,
        ),
        description="samples with one of these flags are set aside; the others keep their weight",
    )


class PromiseConfig(Section):
    """How far the noise model is trusted when an export promises its noise."""

    calibration_error: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="how far its mean probability may be off where it does not say so itself; an audit measures it",
    )


class ReviewConfig(Section):
    """How people review what is suspected, in the review app."""

    page_size: int = Field(60, ge=1, le=500, description="images on a page at most")
    reference_strip: int = Field(8, ge=0, le=50, description="trusted images of the category shown above a page")
    preset_noise: float = Field(
        0.5, gt=0, le=1, description="from this noise probability on a verdict other than keep is set beforehand"
    )
    preset_relabel: float = Field(
        0.5, gt=0, le=1, description="then relabel, if the suggested category is at least this probable; else drop"
    )
    overlap: float = Field(
        0.05, ge=0, le=1, description="share of the images that two annotators see, to measure how far they agree"
    )
    gold: float = Field(
        0.03, ge=0, le=0.5, description="share of a page that is hidden checks, whose answer is known beforehand"
    )
    annotators: tuple[str, ...] = Field(
        (), description="addresses of those who may decide, where a login is configured; leads may without being here"
    )
    leads: tuple[str, ...] = Field(
        (), description="annotators who may settle conflicts that they are part of, and revert what others decided"
    )
    lease_minutes: float = Field(
        15.0, gt=0, description="a page that nothing is decided on for so long goes back to the others"
    )
    silence_minutes: float = Field(5.0, gt=0, description="a pause that is longer is no work; it ends a spell of it")
    promise: float = Field(
        0.02, gt=0, lt=1, description="share of wrong images in an export up to which the overview says what is left"
    )


class Config(Section):
    """Everything a workspace can be told."""

    images: ImagesConfig = ImagesConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    similarity: SimilarityConfig = SimilarityConfig()
    scoring: ScoringConfig = ScoringConfig()
    weights: WeightsConfig = WeightsConfig()
    noise: NoiseConfig = NoiseConfig()
    flags: FlagsConfig = FlagsConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    quality: QualityConfig = QualityConfig()
    cleaned_set: CleanedSetConfig = CleanedSetConfig()
    promise: PromiseConfig = PromiseConfig()
    review: ReviewConfig = ReviewConfig()
    nightly: NightlyConfig = NightlyConfig()


def read_config(path: Path) -> Config:
    """Read `curate.toml`; an unknown key or an impossible value stops with a sentence that names it."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", hint="Correct the line it names.") from error
    return parse_config(values, str(path))


def parse_config(values: dict[str, Any], where: str) -> Config:
    """Check plain values against the models; `where` names their origin in errors."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where}: unknown key {key!r}.", hint=_nearest(key)) from error
        raise ConfigError(
            f"{where}: {key} = {first.get('input')!r} is not possible: {first['msg']}.",
            hint="`curate init` writes a file that explains every key.",
        ) from error


def write_config(config: Config, path: Path) -> None:
    """Write `curate.toml` with every key, its value and a comment that explains it."""
    path.write_text(render_config(config), encoding="utf-8")


def render_config(config: Config) -> str:
    """The text of a `curate.toml`: every section and key, explained."""
    lines = ["# Configuration of this workspace. Every key is optional; an unknown one stops the program."]
    for name, section in _sections(config):
        lines += ["", f"# {(type(section).__doc__ or '').strip()}", f"[{name}]"]
        values = section.model_dump(mode="json")
        for key, field in type(section).model_fields.items():
            if not isinstance(getattr(section, key), Section):
                lines += [f"# {field.description}", f"{key} = {_toml(values[key])}"]
    return "\n".join(lines) + "\n"


def _sections(config: Section, within: str = "") -> Iterator[tuple[str, Section]]:
    """Every section by its name in TOML, each before the sections within it."""
    for key in type(config).model_fields:
        if isinstance(section := getattr(config, key), Section):
            yield f"{within}{key}", section
            yield from _sections(section, f"{within}{key}.")


def _toml(value: Any) -> str:
    """JSON's scalars are TOML, but for DEL, which TOML wants escaped."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def known_keys() -> list[str]:
    """Every section and every `section.key`."""
    sections = dict(_sections(Config()))
    return [*sections, *(f"{name}.{key}" for name, section in sections.items() for key in type(section).model_fields)]


def _nearest(key: str) -> str:
    matches = get_close_matches(key, known_keys(), n=1, cutoff=0.4)
    return f"Did you mean {matches[0]!r}?" if matches else "`curate init` writes a file with every known key."
