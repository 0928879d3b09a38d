"""A run that never ends, for tests of what goes on beside one: `python -m tests.nightly_run WS`.

It holds the catalogue in one long transaction after the other and publishes a snapshot after each, under a new run id.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path

from curation.config import Config
from curation.store.connection import catalog
from curation.store.noise import read_noise_estimates, replace_noise
from curation.store.runs import put_stage, start_run
from curation.store.snapshot import publish_snapshot
from curation.workspace import open_workspace

_HELD_S = 1.0  # longer than anybody would wait for a page


def main(root: str) -> None:
    """Write the noise estimates again and again, each time by a run of its own."""
    workspace = open_workspace(Path(root))
    for number in count():
        run_id = f"20260201T070000-{number:06d}"
        with catalog(workspace) as connection:
            start_run(connection, run_id, "run", Config())
            replace_noise(connection, list(read_noise_estimates(connection).values()), [])
            put_stage(connection, "flag", f"f{number}", run_id, {})
            time.sleep(_HELD_S)
        publish_snapshot(workspace)
        print(run_id, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
