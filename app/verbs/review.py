"""`curate review`: the review app in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from app.verbs.options import WorkspaceArgument


def review(
    workspace: WorkspaceArgument,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="P", help="The port to serve at.")] = 8501,
    address: Annotated[
        str, typer.Option(metavar="A", help="The address to serve at; any but this machine's needs a login.")
    ] = "localhost",
) -> None:
    """Clear suspicious images in a browser: one question a page, keys for everything, every decision kept at once.

    Example: curate review birds --port 8600
    """
    from app.review.serving import serve
    from curation.workspace import open_workspace

    opened = open_workspace(workspace)
    host = f"[{address}]" if ":" in address else address
    serve(opened, port, address, ready=lambda: print(f"review {opened.root} at http://{host}:{port} (Ctrl+C ends it)"))
