"""timm's door: encoders named `timm/MODEL` (weights from a model hub) and `timm/MODEL@FILE.safetensors` (local)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import timm.data
import torch
from safetensors import SafetensorError, safe_open

from curation.encoders.hub_cache import cached_weights, downloaded_file
from curation.encoders.torch_encoder import TorchEncoder
from curation.errors import EncoderError


def load(name: str, device: str) -> TorchEncoder:
    """Load `timm/MODEL` or `timm/MODEL@FILE.safetensors`."""
    model, file = _parts(name)
    return _load_local(model, Path(file), device) if file else _load_from_hub(model, device)


def bare_network(name: str, architecture: Mapping[str, Any]) -> torch.nn.Module:
    """The network with random weights; `architecture` holds the arguments of timm's constructor."""
    model, _ = _parts(name)
    network: torch.nn.Module = timm.create_model(model, pretrained=False, **architecture)
    return network


def weights_file(name: str) -> Path | None:
    """Where the weights lie on this machine; `None` where they would be downloaded."""
    model, _, file = name.removeprefix("timm/").partition("@")
    if file:
        return Path(file)
    known = timm.models.get_pretrained_cfg(model)
    if known is None:
        return None
    return cached_weights(known.hf_hub_id or "") or downloaded_file(
        known.url or "", Path(torch.hub.get_dir()) / "checkpoints"
    )


def _parts(name: str) -> tuple[str, str]:
    """(model, file) of a name, the file empty where there is none; `EncoderError` for a model that timm has not."""
    model, _, file = name.removeprefix("timm/").partition("@")
    if not timm.is_model(model.partition(".")[0]):
        close = timm.list_models(f"*{model.partition('.')[0][:8]}*")[:3]
        raise EncoderError(
            f"timm has no model {model!r}.",
            hint=f"Near names: {', '.join(close) or 'none'}; timm.list_models() lists all.",
        )
    return model, file


def _load_from_hub(model: str, device: str) -> TorchEncoder:
    architecture = {"num_classes": 0}
    try:
        network = timm.create_model(model, pretrained=True, **architecture)
    except Exception as error:  # hub clients raise many kinds; all mean that the weights did not come
        raise EncoderError(
            f"the weights of timm/{model} could not be had: {type(error).__name__}: {error}.",
            hint=f"With network access they are downloaded once; without, pass a file: timm/{model}@FILE.safetensors.",
        ) from error
    data: dict[str, Any] = timm.data.resolve_model_data_config(network)
    return TorchEncoder(
        network,
        name=f"timm/{model}",
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        input_px=int(data["input_size"][-1]),
        crop_share=float(data["crop_pct"]),
        architecture=architecture,
        device=device,
    )


def _load_local(model: str, file: Path, device: str) -> TorchEncoder:
    """Weights from a safetensors file. Its metadata may give `timm_kwargs` (JSON), `mean`, `std`, `input_size`,
    `crop_pct`; what it does not give is timm's default for the model."""
    try:
        with safe_open(file, framework="pt") as opened:
            facts: dict[str, str] = opened.metadata() or {}
            weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{file} is not a readable safetensors file: {error}.", hint="Download it again.") from error
    architecture: dict[str, Any] = {"num_classes": 0} | json.loads(facts.get("timm_kwargs", "{}"))
    network = timm.create_model(model, pretrained=False, **architecture)
    _fill(network, weights, model, file)
    data: dict[str, Any] = timm.data.resolve_model_data_config(network)
    return TorchEncoder(
        network,
        name=f"timm/{model}@{file.name}",
        mean=_numbers(facts.get("mean")) or tuple(data["mean"]),
        std=_numbers(facts.get("std")) or tuple(data["std"]),
        input_px=int(facts.get("input_size", data["input_size"][-1])),
        crop_share=float(facts.get("crop_pct", data["crop_pct"])),
        architecture=architecture,
        device=device,
    )


def _fill(network: torch.nn.Module, weights: dict[str, torch.Tensor], model: str, file: Path) -> None:
    expected = network.state_dict()
    missing = sorted(set(expected) - set(weights))
    misfits = [key for key in expected.keys() & weights.keys() if expected[key].shape != weights[key].shape]
    if missing or misfits:
        raise EncoderError(
            f"{file} does not fit timm/{model}: {len(missing)} tensors missing (first: {missing[:1]}), "
            f"{len(misfits)} of another shape (first: {misfits[:1]}).",
            hint="Name the model the file was made for; constructor arguments belong in its metadata as timm_kwargs.",
        )
    network.load_state_dict({key: weights[key] for key in expected})  # a classifier in the file is left out


def _numbers(text: str | None) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",")) if text else ()
