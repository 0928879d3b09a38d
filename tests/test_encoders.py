"""The doors to timm and open_clip, with local weights: no test downloads anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from curation.encoders import PixelArray, checked_name, load_encoder
from curation.encoders.torch_encoder import FIXED_BATCH
from curation.errors import EncoderError

MODEL = "test_resnet.r160_in1k".partition(".")[0]  # timm's own small network for tests


def pixels(count: int, side: int, seed: int = 0) -> PixelArray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small timm network, with the facts that the loader reads from the metadata."""
    torch.manual_seed(0)
    network = timm.create_model(MODEL, pretrained=False, num_classes=0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    facts = {
        "timm_kwargs": json.dumps({"num_classes": 0}),
        "mean": "0.5,0.5,0.5",
        "std": "0.5,0.5,0.5",
        "input_size": "64",
        "crop_pct": "0.9",
    }
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()},
        path,
        facts,
    )
    return path


def test_timm__local_weights_with_facts_from_the_metadata(weights_file: Path) -> None:
    encoder = load_encoder(f"timm/{MODEL}@{weights_file}", "cpu")
    assert (encoder.input_px, encoder.crop_share) == (64, 0.9)
    vectors = encoder.embed(pixels(3, 64))
    assert vectors.shape == (3, encoder.dimension) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_timm__the_numbers_are_those_of_the_network(weights_file: Path) -> None:
    encoder = load_encoder(f"timm/{MODEL}@{weights_file}", "cpu")
    network = timm.create_model(MODEL, pretrained=False, num_classes=0)
    from safetensors.torch import load_file

    network.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_file(weights_file).items()}
    )
    images = pixels(2, 64)
    plain = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network.eval()(plain), dim=1).numpy()
    assert np.allclose(encoder.embed(images), expected, atol=1e-5)


def test_encoder__an_image_has_the_same_bits_whatever_its_batch(weights_file: Path) -> None:
    encoder = load_encoder(f"timm/{MODEL}@{weights_file}", "cpu")
    images = pixels(FIXED_BATCH + 5, 64)
    together = encoder.embed(images)
    assert np.array_equal(encoder.embed(images[7:8])[0], together[7])
    assert np.array_equal(encoder.embed(images[::-1])[::-1], together)


def test_encoder__its_identity_follows_the_weights(weights_file: Path, tmp_path: Path) -> None:
    first = load_encoder(f"timm/{MODEL}@{weights_file}", "cpu").identity
    assert first == load_encoder(f"timm/{MODEL}@{weights_file}", "cpu").identity
    torch.manual_seed(1)
    network = timm.create_model(MODEL, pretrained=False, num_classes=0)
    save_file(dict(network.state_dict()), tmp_path / weights_file.name)
    assert load_encoder(f"timm/{MODEL}@{tmp_path / weights_file.name}", "cpu").identity != first


def test_timm__weights_of_another_network_say_what_is_missing(weights_file: Path) -> None:
    with pytest.raises(EncoderError, match=r"does not fit timm/resnet18: \d+ tensors missing"):
        load_encoder(f"timm/resnet18@{weights_file}", "cpu")


def test_timm__a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(EncoderError, match="not a readable safetensors file"):
        load_encoder(f"timm/{MODEL}@{tmp_path / 'w.safetensors'}", "cpu")


def test_timm__weights_that_cannot_be_downloaded_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(EncoderError, match=r"could not be had: OSError: the hub cannot be reached.*@FILE.safetensors"):
        load_encoder(f"timm/{MODEL}", "cpu")


def small_clip(clip_file: Path) -> Any:
    """The model that open_clip itself makes of the weights."""
    return open_clip.create_model("small-clip", pretrained=str(clip_file)).eval()


def test_open_clip__local_weights(clip_file: Path) -> None:
    encoder = load_encoder(f"open_clip/small-clip@{clip_file}", "cpu")
    clip = small_clip(clip_file)
    assert (encoder.input_px, encoder.dimension, encoder.crop_share) == (32, 16, 1.0)
    images = pixels(2, 32)
    mean, std = (torch.tensor(clip.visual.preprocess_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    plain = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        expected = clip.encode_image(plain, normalize=True).numpy()
    assert np.allclose(encoder.embed(images), expected, atol=1e-5)


def test_open_clip__texts_lie_beside_the_images(clip_file: Path) -> None:
    encoder = load_encoder(f"open_clip/small-clip@{clip_file}", "cpu")
    texts = ["a robin", "a bird with a red breast and far more words than the context holds"]
    vectors = encoder.embed_text(texts)
    with torch.inference_mode():
        expected = small_clip(clip_file).encode_text(open_clip.get_tokenizer("small-clip")(texts), normalize=True)
    assert encoder.embeds_text
    assert vectors.shape == (2, encoder.dimension) and vectors.dtype == np.float32
    assert np.allclose(vectors, expected.numpy(), atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(encoder.embed_text(texts[1:]), vectors[1:], atol=1e-6)


def test_open_clip__a_tokenizer_that_cannot_be_downloaded(clip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: str) -> None:
        raise OSError("the hub cannot be reached")

    encoder = load_encoder(f"open_clip/small-clip@{clip_file}", "cpu")
    monkeypatch.setattr(open_clip, "get_tokenizer", refuse)
    with pytest.raises(EncoderError, match=r"the tokenizer of small-clip could not be had: OSError"):
        encoder.embed_text(["a robin"])


def test_text__an_encoder_of_images_alone_names_one_that_can(weights_file: Path) -> None:
    for name in ("builtin", f"timm/{MODEL}@{weights_file}"):
        encoder = load_encoder(name, "cpu")
        assert not encoder.embeds_text
        with pytest.raises(EncoderError, match=r"embeds images only, no text.*curate init NEW --encoder open_clip/"):
            encoder.embed_text(["a robin"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50", "unknown encoder 'resnet50'"),
        ("timm/no_such_net", "timm has no model 'no_such_net'"),
        ("open_clip/ViT-B-32", "names no weights"),
        ("open_clip/ViT-B-33/openai", "open_clip has no model 'ViT-B-33'"),
        ("open_clip/ViT-B-32/no_such_tag", "no weights 'no_such_tag' for ViT-B-32. Known: "),
        ("timm/resnet18@no/such/file.safetensors", "weights file no/such/file.safetensors does not exist"),
    ],
)
def test_names__a_wrong_one_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(name, "cpu")


def test_names__local_files_become_absolute(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(weights_file.parent)
    assert checked_name(f"timm/{MODEL}@{weights_file.name}") == f"timm/{MODEL}@{weights_file}"
    assert checked_name("builtin") == "builtin"
