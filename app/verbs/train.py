"""`curate train`: a model from an exported cleaned set; one verb below it for every task."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.verbs.options import DeviceName, JsonOption

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@train.callback()
def _train() -> None:
    """Train a model on an exported cleaned set.

    Example: curate train classification cleaned --out classifier --test data/test
    """


class MethodName(StrEnum):
    """Methods as the command line spells them; the library's registry is tested to agree."""

    plain = "plain"
    weighted = "weighted"
    graph = "graph"
    simtrans = "simtrans"
    cleaned = "cleaned"
    soft = "soft"
    relabelled = "relabelled"
    hybrid = "hybrid"


class HeadName(StrEnum):
    """What is put on the backbone."""

    linear = "linear"
    mlp = "mlp"


class HybridParts(StrEnum):
    """What of the hybrid is learned."""

    v = "v"
    h = "h"
    both = "both"


@train.command()
def classification(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="A folder that `curate export` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder for the classifier and all that is told of it.")],
    test: Annotated[
        Path | None, typer.Option(metavar="SOURCE", help="A test set, looked at once at the end: any source of images.")
    ] = None,
    method: Annotated[MethodName, typer.Option(help="What is believed of the samples.")] = MethodName.cleaned,
    backbone: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Any encoder.", show_default="that of the export")
    ] = None,
    finetune: Annotated[
        bool, typer.Option("--finetune/--frozen", help="Train the backbone too, or a head on its embeddings.")
    ] = False,
    head: Annotated[
        HeadName | None,
        typer.Option(help="One linear layer, or a hidden layer before it.", show_default="mlp; linear for hybrid"),
    ] = None,
    category_vectors: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|text", help="hybrid: a CSV file (category,v1,v2,...), or the backbone reads the names."
        ),
    ] = None,
    hybrid_parts: Annotated[
        HybridParts, typer.Option(help="hybrid: V = base samples and vectors, h = web samples.")
    ] = HybridParts.both,
    generalized: Annotated[
        bool, typer.Option("--generalized", help="Base and novel categories together (export --with-base).")
    ] = False,
    epochs: Annotated[int, typer.Option(min=0, help="0 = 60 frozen (fewer for many images), 30 fine-tuned.")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="0 = 128 frozen, 32 fine-tuned.")] = 0,
    learning_rate: Annotated[float, typer.Option(min=0, help="0 = 1e-3 for mlp, 1e-2 for linear.")] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other option, such as alpha=0.1 or validation=0."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same classifier.")] = 0,
    device: Annotated[DeviceName, typer.Option(help="auto takes a GPU where there is one.")] = DeviceName.auto,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where embeddings are kept, to share them; a workspace's embeddings/ will do.",
            show_default="OUT/embeddings",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier classifier in OUT.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write model.onnx (extra `onnx`).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier, choose its best state without the test set, and judge it.

    Example: curate train classification cleaned --out classifier --test data/test --method relabelled
    """
    from app.terminal import print_facts, print_json, progress_bars
    from pipelines.classification.config import new_config
    from pipelines.classification.flow import train_classification

    config = new_config(
        option or [],
        method=method.value,
        backbone=backbone,
        finetune=finetune,
        head=None if head is None else head.value,
        category_vectors=category_vectors,
        hybrid_parts=hybrid_parts.value,
        generalized=generalized,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device.value,
    )
    with progress_bars() as progress:
        figures: dict[str, Any] = train_classification(
            export,
            out,
            config,
            test=test,
            resume=resume,
            overwrite=overwrite,
            embeddings=embeddings,
            onnx=onnx,
            progress=progress,
        )
    if as_json:
        print_json(figures)
        return
    for title, facts in figures.items():
        print_facts(title, facts if isinstance(facts, dict) else {title: facts})
