"""The `curate` command: one function a verb. Parses, calls the library, prints.

Exit status: 0 done, 1 an error of ours in one sentence with a hint, 2 wrong usage, 130 interrupted. Everything heavy is
imported inside the verbs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.verbs.audit import audit
from app.verbs.backup import backup
from app.verbs.demo import demo
from app.verbs.diff import diff
from app.verbs.doctor import doctor
from app.verbs.export import export
from app.verbs.nightly import nightly
from app.verbs.options import JsonOption, RoleName, WorkspaceArgument
from app.verbs.predict import predict
from app.verbs.report import report
from app.verbs.restore import restore
from app.verbs.review import review
from app.verbs.search import search
from app.verbs.train import train
from curation.errors import CurationError

if TYPE_CHECKING:
    from curation.flow import StageResult

app = typer.Typer(
    name="curate",
    help="Find the wrong images among those gathered from the web by name, and export a cleaned set.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from curation import __version__

        print(f"curate {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    workspace: WorkspaceArgument,
    encoder: Annotated[
        str | None,
        typer.Option(
            show_default="builtin",
            help="open_clip/MODEL/PRETRAINED, timm/MODEL, timm/MODEL@FILE.safetensors or builtin.",
        ),
    ] = None,
    units: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write what starts a night by itself (systemd, cron, Kubernetes, Docker) into this folder; of a "
            "workspace that is there already only that.",
        ),
    ] = None,
) -> None:
    """Make a new workspace with a commented curate.toml.

    Example: curate init birds --encoder timm/resnet50.a1_in1k --units units
    """
    from curation.config import Config, EmbeddingConfig
    from curation.encoders import checked_name
    from curation.workspace import create_workspace, open_workspace

    if units is not None and encoder is None and (workspace / "curate.toml").exists():
        made = open_workspace(workspace)
    else:
        config = Config(embedding=EmbeddingConfig(encoder=checked_name(encoder or "builtin")))
        made = create_workspace(workspace, config)
        print(f"made {made.root}; its configuration is {made.config_file}")
    if units is not None:
        from pipelines.units.writing import write_units

        for path in write_units(made, units):
            print(f"wrote {path}")


@app.command()
def ingest(
    workspace: WorkspaceArgument,
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A folder category/*.jpg, a CSV or Parquet manifest, or tar shards."),
    ],
    role: Annotated[RoleName, typer.Option(help="Clean categories (base), web categories (novel), or a test set.")],
    as_json: JsonOption = False,
) -> None:
    """Add the images of a source; a second time adds only what is new.

    Example: curate ingest birds data/web --role novel
    """
    from app.terminal import print_facts, print_json, progress_bars
    from curation.stages.ingest import ingest as run_ingest
    from curation.values import Role
    from curation.workspace import open_workspace

    with progress_bars() as progress:
        report = asdict(run_ingest(open_workspace(workspace), source, Role(role.value), progress))
    if as_json:
        print_json(report)
    else:
        print_facts(f"ingested {source} as {role.value}", report)


def _run_stages(workspace: Path, command: str, names: tuple[str, ...], as_json: bool) -> None:
    """Run the named stages; a stage asked for by its own verb runs even when it is up to date."""
    from app.terminal import print_json, progress_bars
    from curation.flow import STAGES, run_stages
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    with progress_bars() as progress:
        results = run_stages(
            opened,
            opened.config(),
            command=command,
            stages=tuple(stage for stage in STAGES if stage.name in names),
            always=len(names) == 1,
            progress=progress,
            told=None if as_json else _print_stage,
        )
    if as_json:
        print_json([asdict(result) for result in results])


def _print_stage(result: StageResult) -> None:
    from app.terminal import print_facts

    print_facts(f"{result.stage}{'' if result.ran else ' (up to date)'}", result.summary)


@app.command()
def embed(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Embed every image that has no embedding yet.

    Example: curate embed birds
    """
    _run_stages(workspace, "embed", ("embed",), as_json)


@app.command("train-similarity")
def train_similarity(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Train the similarity network on the base categories.

    Example: curate train-similarity birds
    """
    _run_stages(workspace, "train-similarity", ("train-similarity",), as_json)


@app.command()
def score(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Compare every novel image with the others of its category, and weigh it.

    Example: curate score birds
    """
    _run_stages(workspace, "score", ("score",), as_json)


@app.command("train-noise")
def train_noise(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Learn on noise made in base categories which web categories are wrong.

    Example: curate train-noise birds
    """
    _run_stages(workspace, "train-noise", ("train-noise",), as_json)


@app.command()
def noise(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Estimate how likely each web category is wrong, decisions included.

    Example: curate noise birds
    """
    _run_stages(workspace, "noise", ("noise",), as_json)


@app.command()
def flag(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Flag what is suspicious, each flag with its reason.

    Example: curate flag birds
    """
    _run_stages(workspace, "flag", ("flag",), as_json)


@app.command()
def run(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Run every stage that is out of date: embed, train-similarity, score, train-noise, noise, flag.

    Example: curate run birds
    """
    _run_stages(workspace, "run", ("embed", "train-similarity", "score", "train-noise", "noise", "flag"), as_json)


@app.command()
def scores(
    workspace: WorkspaceArgument,
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    sheets: Annotated[
        Path | None, typer.Option(help="Also draw contact sheets (PNG) of the weights into this folder.")
    ] = None,
) -> None:
    """Write one row for every novel sample: weight, suggested category, flags.

    Example: curate scores birds --out scores.csv --sheets sheets
    """
    from app.terminal import progress_bars
    from curation.stages.scores import draw_weight_sheets, write_score_table
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    rows = write_score_table(opened, out)
    print(f"wrote {rows:,} samples to {out}")
    if sheets is not None:
        with progress_bars() as progress:
            paths = draw_weight_sheets(opened, sheets, progress)
        print(f"drew {', '.join(str(path) for path in paths)}")


app.command()(export)
app.command()(diff)
app.command()(audit)
app.command()(search)
app.command()(predict)
app.command()(report)
app.command()(review)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.command()(nightly)
app.add_typer(train, name="train")


@app.command()
def status(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Show what the workspace holds and which stages are out of date.

    Example: curate status birds
    """
    from app.terminal import print_facts, print_json, print_table
    from curation.status import workspace_status
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    state = workspace_status(opened, opened.config())
    if as_json:
        print_json(asdict(state))
        return
    print_table(
        f"{opened.root}",
        ("role", "samples", "categories", "unreadable"),
        [(role, *counts.values()) for role, counts in state.samples.items()],
    )
    print_table(
        "stages",
        ("stage", "state", "finished (UTC)"),
        [(stage.name, stage.state, stage.finished_at) for stage in state.stages],
    )
    print_facts("flags and decisions", {**state.flags, "decisions": state.decisions})
    if state.busy:
        print_facts("as last published, since", {"": state.busy})


app.command()(demo)


def main() -> None:
    """Entry point of the `curate` command."""
    try:
        app()
    except CurationError as error:
        from app.terminal import print_error

        print_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
