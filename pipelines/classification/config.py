"""The options of `curate train classification`: each with its default and the reason for it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import Field, ValidationError

from curation.config import Device
from curation.config_section import Section
from curation.errors import ConfigError

MethodName = Literal["plain", "weighted", "graph", "simtrans", "cleaned", "soft", "relabelled", "hybrid"]


class ClassificationConfig(Section):
    """How a classifier is trained; what is 0 or `None` here is chosen by whether the backbone is frozen."""

    method: MethodName = Field("cleaned", description="what is believed of the samples; cleaned needs no other column")
    backbone: str | None = Field(
        None, description="an encoder of the curation; None = the one the export was made with"
    )
    finetune: bool = Field(False, description="train the backbone too; else its embeddings are computed once")
    head: Literal["linear", "mlp"] | None = Field(
        None, description="one linear layer, or a hidden layer before it; None = mlp, but linear for the hybrid"
    )
    hidden: int = Field(512, ge=1, description="width of the hidden layer of the mlp head")
    dropout: float = Field(0.2, ge=0, lt=1, description="before the last layer of the mlp head, in training")
    generalized: bool = Field(False, description="base and novel categories together, drawn evenly (A.2.7)")

    epochs: int = Field(
        0, ge=0, description="0 = 60 for a frozen backbone (down to 10 beyond 2,000 samples), 30 for a fine-tuned one"
    )
    batch_size: int = Field(0, ge=0, description="0 = 128 for a frozen backbone, 32 for a fine-tuned one")
    learning_rate: float = Field(
        0.0, ge=0, description="0 = 1e-3 mlp, 1e-2 linear; times backbone_rate for the backbone"
    )
    backbone_rate: float = Field(0.1, gt=0, le=1, description="the backbone learns this much slower than the head")
    batch_statistics: Literal["kept", "updated"] = Field(
        "kept", description="fine-tuning: means and variances of batch normalisations; updated needs large batches"
    )
    weight_decay: float = Field(1e-3, ge=0, description="AdamW; on bird embeddings 1e-3 and 1e-1 differ by little")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps with a rising learning rate; cosine after it"
    )
    averaging: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights (EMA); 0 = no average")
    balanced: bool | None = Field(None, description="draw categories evenly; None = in the generalized setting")
    augmentation: Literal["none", "flip", "crop", "strong"] = Field(
        "crop", description="fine-tuning: crop = random resized crop of half to all, mirrored (published but rotation)"
    )

    graph_form: Literal["squared", "cosine"] = Field(
        "squared", description="of the graph loss: squared distances (published), or its variant COS, free of scale"
    )
    alpha: float | None = Field(
        None, ge=0, description="weight of the graph loss (published 0.1); None = so that it starts at graph_share"
    )
    graph_share: float = Field(0.05, gt=0, description="alpha * L_reg / L_cls at the first regularised step (A.6 e)")
    affinity: Literal["published", "calibrated"] = Field(
        "published", description="similarity as it is, or calibrated: corrected for how few pairs of a batch are alike"
    )
    mu: float | None = Field(
        None, description="relaxation of the affinity; None = -4 (published with the two-phase schedule), 0 calibrated"
    )
    eye: float = Field(
        1.0, ge=0, le=1, description="weight of pairs of different categories in the graph (published 1)"
    )
    large_batch: int = Field(
        128, ge=2, description="images of a regularised step (published 128): it needs similar pairs"
    )
    first_phase: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="simtrans: share of the epochs before the alternation; None = 0.375 for a fine-tuned backbone "
        "(published 60 of 160), 0 for a frozen one, whose features have been learned",
    )

    category_vectors: str | None = Field(
        None, description="hybrid: a CSV file, or `text` = the backbone reads the names of the categories"
    )
    hybrid_parts: Literal["v", "h", "both"] = Field(
        "both", description="hybrid: V = base samples and category vectors (zero-shot), h = web samples, or both"
    )
    hybrid_weights: Literal["self-paced", "samples", "equal"] = Field(
        "self-paced", description="hybrid: web samples weigh by their loss in each epoch, by their own weights, or 1"
    )
    eta: float = Field(0.1, ge=0, description="hybrid: weight of the distance of base and web means in V (D.3)")
    gamma: float = Field(1e-3, ge=0, description="hybrid: ridge of V (D.3)")

    validation: float = Field(
        0.1, ge=0, lt=0.5, description="share of the novel samples that selects the state; 0 = last"
    )
    seed: int = Field(0, ge=0, description="the same seed gives the same classifier, bit by bit on a CPU")
    device: Device = Field("auto", description="auto takes a GPU where there is one")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto = bfloat16 on a GPU")
    workers: int = Field(-1, ge=-1, description="processes that read images; -1 = up to 8 with a GPU, else none")
    save_every_s: float = Field(30.0, gt=0, description="a killed training loses at most this much")
    max_pixels: int = Field(80_000_000, ge=1_000, description="as images.max_pixels of a workspace")

    @property
    def resolved_epochs(self) -> int:
        return self.epochs or (30 if self.finetune else 60)

    @property
    def resolved_batch_size(self) -> int:
        return self.batch_size or (32 if self.finetune else 128)

    @property
    def resolved_learning_rate(self) -> float:
        return self.learning_rate or (1e-3 if self.resolved_head == "mlp" else 1e-2)

    @property
    def resolved_mu(self) -> float:
        if self.mu is not None:
            return self.mu
        return -4.0 if self.affinity == "published" else 0.0

    @property
    def resolved_first_phase(self) -> float:
        if self.first_phase is not None:
            return self.first_phase
        return 0.375 if self.finetune else 0.0

    @property
    def resolved_head(self) -> Literal["linear", "mlp"]:
        return self.head or ("linear" if self.method == "hybrid" else "mlp")

    @property
    def resolved_hidden(self) -> int:
        """Width of the hidden layer, 0 where there is none."""
        return self.hidden if self.resolved_head == "mlp" else 0


def new_config(settings: Sequence[str], **values: Any) -> ClassificationConfig:
    """A configuration from `values` and from settings spelt NAME=VALUE, which go before.

    Raises `ConfigError` for an unknown name, with the nearest known one, and for a value out of its range.
    """
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"{setting!r} sets nothing.", hint="Write NAME=VALUE, such as alpha=0.1.")
        if name not in ClassificationConfig.model_fields:
            close = get_close_matches(name, ClassificationConfig.model_fields, n=1, cutoff=0.0)
            raise ConfigError(f"there is no option {name!r} of a classification.", hint=f"Did you mean {close[0]}?")
        values[name] = value
    try:
        return ClassificationConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {first['msg']}, got {first['input']!r}.", hint="Give another value.") from error
