"""The shipped encoder: loads offline, embeds an image the same whatever its batch mates, tells species apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from curation.demo.rendering import draw_shot, photograph
from curation.demo.species import invent_genera, invent_species
from curation.encoders import PixelArray, builtin, load_encoder, make_builtin
from curation.encoders.torch_encoder import TorchEncoder
from curation.errors import EncoderError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoder() -> TorchEncoder:
    return builtin.load("builtin", "cpu")


@pytest.fixture(scope="module")
def pixels() -> PixelArray:
    return np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)


def test_load__through_the_registry(encoder: TorchEncoder) -> None:
    loaded = load_encoder("builtin", "cpu")
    assert loaded.identity == encoder.identity
    assert (loaded.dimension, loaded.input_px, loaded.crop_share) == (392, 96, 1.0)


def test_load__identity_changes_with_the_weights(
    encoder: TorchEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(builtin.WEIGHTS)
    weights["head.bias"] = weights["head.bias"] + 1
    save_file(weights, tmp_path / "other.safetensors")
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path / "other.safetensors")
    other = builtin.load("builtin", "cpu")
    assert other.identity != encoder.identity
    assert other.identity.startswith("builtin#")


def test_load__other_name() -> None:
    with pytest.raises(EncoderError, match="builtin/large") as caught:
        builtin.load("builtin/large", "cpu")
    assert "builtin" in caught.value.hint


def test_load__missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path / "gone.safetensors")
    with pytest.raises(EncoderError, match=r"gone\.safetensors") as caught:
        builtin.load("builtin", "cpu")
    assert "make_builtin" in caught.value.hint


def test_load__damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path / "bad.safetensors")
    with pytest.raises(EncoderError, match="cannot be read"):
        builtin.load("builtin", "cpu")


def test_load__weights_of_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "alien.safetensors")
    monkeypatch.setattr(builtin, "WEIGHTS", tmp_path / "alien.safetensors")
    with pytest.raises(EncoderError, match="does not fit"):
        builtin.load("builtin", "cpu")


def test_embed__unit_norm_float32(encoder: TorchEncoder, pixels: PixelArray) -> None:
    embeddings = encoder.embed(pixels)
    assert embeddings.shape == (40, 392)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@settings(max_examples=6)
@given(st.data())
def test_embed__does_not_depend_on_batch_mates(encoder: TorchEncoder, pixels: PixelArray, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=40, unique=True))
    together = encoder.embed(pixels)
    np.testing.assert_array_equal(encoder.embed(pixels[rows]), together[rows])


def test_embed__own_species_is_nearer_than_other_kinds(encoder: TorchEncoder) -> None:
    rng = np.random.default_rng(11)
    species = [invent_species(rng, genus, 1)[0] for genus in invent_genera(rng, 4)]
    shots = [(one, draw_shot(rng, one.genus.kind)) for one in species for _ in range(6)]
    embeddings = encoder.embed(np.stack([np.asarray(photograph(one, shot, rng, 96)) for one, shot in shots]))
    cosine = embeddings @ embeddings.T
    same = np.repeat(np.arange(4), 6)[:, None] == np.repeat(np.arange(4), 6)[None, :]
    np.fill_diagonal(cosine, np.nan)
    assert np.nanmean(cosine[same]) > np.nanmean(cosine[~same]) + 0.05


def test_shipped_weights__small_and_with_their_recipe() -> None:
    assert builtin.WEIGHTS.stat().st_size < 5_000_000
    with safe_open(builtin.WEIGHTS, framework="pt") as opened:
        facts = json.loads(opened.metadata()["made"])
    assert make_builtin.Recipe(**facts["recipe"]) == make_builtin.Recipe()


def test_make_builtin__is_reproducible(tmp_path: Path) -> None:
    recipe = replace(make_builtin.Recipe(), genera=2, species_per_genus=2, images_per_species=4, epochs=1, batch_size=8)
    digests = []
    for name in ("a", "b"):
        make_builtin.save(make_builtin.train(recipe, make_builtin.draw_lesson(recipe)), recipe, tmp_path / name)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]
