"""The checkpoint of a similarity network: safetensors with everything needed to trust it in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from curation.config import SimilarityConfig
from curation.errors import SimilarityError
from curation.files import replace_bytes
from curation.similarity.network import SimilarityNetwork
from curation.similarity.training import TrainedNetwork

SCHEMA_VERSION = 1
KIND = "webnoise-curation similarity network"
_TRAIN_HINT = "`curate train-similarity` makes a new one."


@dataclass(frozen=True, slots=True)
class NetworkMetadata:
    """What a checkpoint says of itself. `pair_metrics` are on held-out base categories (precision, recall, F1, AP)."""

    kind: str
    schema_version: int
    head: str
    dimension: int
    encoder: str
    config: dict[str, Any]
    training_categories: tuple[str, ...]
    held_out_categories: tuple[str, ...]
    pair_metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network in evaluation mode, its metadata, and its identity: a digest of both."""

    network: SimilarityNetwork
    metadata: NetworkMetadata
    identity: str


def save_network(path: Path, trained: TrainedNetwork, *, encoder_identity: str, config: SimilarityConfig) -> None:
    """Write the checkpoint; a reader sees the old file or the new one, never a part."""
    metadata = NetworkMetadata(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        head=trained.network.head,
        dimension=trained.network.dimension,
        encoder=encoder_identity,
        config=config.model_dump(mode="json"),
        training_categories=trained.training_categories,
        held_out_categories=trained.held_out_categories,
        pair_metrics={name: asdict(metrics) for name, metrics in trained.pair_metrics.items()},
    )
    weights = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, save(weights, {"webnoise": json.dumps(asdict(metadata), sort_keys=True)}))


def load_network(path: Path, *, encoder_identity: str | None = None, device: str = "cpu") -> LoadedNetwork:
    """Read a checkpoint. Raises `SimilarityError` where there is none, where it is damaged or not ours, or where
    `encoder_identity` is given and is not the encoder the network was trained on."""
    if not path.is_file():
        raise SimilarityError(f"there is no similarity network at {path}.", hint=_TRAIN_HINT)
    try:
        with safe_open(path, framework="pt", device=device) as file:
            text = (file.metadata() or {}).get("webnoise")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise SimilarityError(f"{path} is damaged or no checkpoint: {error}.", hint=_TRAIN_HINT) from error
    metadata = _metadata(path, text)
    if encoder_identity is not None and metadata.encoder != encoder_identity:
        raise SimilarityError(
            f"the network at {path} was trained on embeddings of {metadata.encoder}, these are of {encoder_identity}.",
            hint="Train it again with `curate train-similarity`, or go back to the other encoder in curate.toml.",
        )
    network = _network(path, metadata, weights).to(device).eval()
    return LoadedNetwork(network, metadata, f"{metadata.head}#{_digest(text or '', weights)}")


def _metadata(path: Path, text: str | None) -> NetworkMetadata:
    try:
        values = json.loads(text or "")
        if values["kind"] != KIND:
            raise ValueError(values["kind"])
        if values["schema_version"] > SCHEMA_VERSION:
            raise SimilarityError(
                f"{path} has schema {values['schema_version']}, this version knows {SCHEMA_VERSION}.",
                hint="Install the newer version of webnoise-curation that wrote it.",
            )
        for name in ("training_categories", "held_out_categories"):
            values[name] = tuple(values[name])
        return NetworkMetadata(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise SimilarityError(f"{path} is not a similarity network of this tool.", hint=_TRAIN_HINT) from error


def _network(path: Path, metadata: NetworkMetadata, weights: dict[str, torch.Tensor]) -> SimilarityNetwork:
    try:
        config = SimilarityConfig.model_validate(metadata.config)
        network = SimilarityNetwork(config.head, metadata.dimension, projection=config.projection)
        network.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        raise SimilarityError(
            f"the weights in {path} do not fit their description: {error}.", hint=_TRAIN_HINT
        ) from error
    return network


def _digest(text: str, weights: dict[str, torch.Tensor]) -> str:
    digest = sha256(text.encode())
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
