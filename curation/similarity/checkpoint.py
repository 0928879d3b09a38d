"""One file that holds a trained network and what it was made from: safetensors with JSON in its metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from curation.config import SimilarityConfig
from curation.devices import choose_device
from curation.errors import SimilarityError
from curation.files import replace_bytes
from curation.similarity.network import SimilarityNetwork
from curation.similarity.pair_metrics import PairMetrics
from curation.similarity.training import TrainedNetwork

_SCHEMA_VERSION = 1
_KEY = "similarity_network"  # all of the metadata is JSON under this one key


@dataclass(frozen=True, slots=True)
class NetworkMetadata:
    """What a stored network was made from, and how good it is on held-out base categories.

    `network_identity` is a digest of the weights and of everything else here: two networks with the same identity give
    the same similarities.
    """

    head: str
    dimension: int
    config: SimilarityConfig
    encoder_identity: str
    training_categories: tuple[str, ...]
    held_out_categories: tuple[str, ...]
    pair_metrics: dict[str, PairMetrics]
    network_identity: str


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network in evaluation mode, and its metadata."""

    network: SimilarityNetwork
    metadata: NetworkMetadata


def save_network(path: Path, trained: TrainedNetwork, *, encoder_identity: str, config: SimilarityConfig) -> str:
    """Write the network to `path` and return its identity. A file that is there already is replaced in one step."""
    network = trained.network
    facts = {
        "schema_version": _SCHEMA_VERSION,
        "head": network.head,
        "dimension": network.dimension,
        "projected": network.projected,
        "config": config.model_dump(mode="json"),
        "encoder_identity": encoder_identity,
        "training_categories": list(trained.training_categories),
        "held_out_categories": list(trained.held_out_categories),
        "pair_metrics": {name: asdict(metrics) for name, metrics in trained.pair_metrics.items()},
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    facts["network_identity"] = _identity(tensors, facts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, save(tensors, metadata={_KEY: json.dumps(facts, sort_keys=True)}))
    except OSError as error:
        raise SimilarityError(
            f"{path} cannot be written: {error.strerror}.", hint="Check space and permissions."
        ) from error
    return str(facts["network_identity"])


def load_network(path: Path, *, encoder_identity: str | None = None, device: str = "cpu") -> LoadedNetwork:
    """Read a network back in evaluation mode.

    Raises `SimilarityError` where the file is missing, damaged or something else, or where `encoder_identity` is given
    and the network was trained on embeddings of another encoder.
    """
    facts, tensors = _read(path)
    if facts.get("schema_version") != _SCHEMA_VERSION:
        raise SimilarityError(
            f"{path} has schema version {facts.get('schema_version')}; this version reads {_SCHEMA_VERSION}.",
            hint="Train the network again: `curate train-similarity`.",
        )
    if encoder_identity is not None and facts.get("encoder_identity") != encoder_identity:
        raise SimilarityError(
            f"the similarity network in {path} was trained on embeddings of {facts.get('encoder_identity')}, "
            f"these embeddings are of {encoder_identity}.",
            hint="Train it again on these embeddings: `curate train-similarity`.",
        )
    stated = facts.pop("network_identity", None)
    if stated != _identity(tensors, facts):
        raise _damaged(path, "its weights do not belong to its description")
    try:
        config = SimilarityConfig.model_validate(facts["config"])
        network = SimilarityNetwork(facts["head"], int(facts["dimension"]), projected=int(facts["projected"]))
        network.load_state_dict(tensors)
        metrics = {name: PairMetrics(**values) for name, values in facts["pair_metrics"].items()}
        metadata = NetworkMetadata(
            head=network.head,
            dimension=network.dimension,
            config=config,
            encoder_identity=str(facts["encoder_identity"]),
            training_categories=tuple(facts["training_categories"]),
            held_out_categories=tuple(facts["held_out_categories"]),
            pair_metrics=metrics,
            network_identity=str(stated),
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ValidationError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return LoadedNetwork(network.to(choose_device(device)).eval(), metadata)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise SimilarityError(
            f"there is no similarity network at {path}.", hint="Train one first: `curate train-similarity`."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    try:
        facts = json.loads(metadata[_KEY])
    except (KeyError, ValueError) as error:
        raise _damaged(path, "it holds no description of a similarity network") from error
    if not isinstance(facts, dict):
        raise _damaged(path, "its description is not an object")
    return facts, tensors


def _damaged(path: Path, reason: str) -> SimilarityError:
    return SimilarityError(
        f"{path} is damaged or not a similarity network of this tool ({reason}).",
        hint="Delete it and train again: `curate train-similarity`.",
    )


def _identity(tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> str:
    """Digest of weights and description: 16 hex digits."""
    digest = sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()[:16]
