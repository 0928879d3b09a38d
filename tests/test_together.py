"""People, exports and nights at once on one workspace, in short: `python -m tests.benchmarks together` is longer.

How long anybody waits is measured there; here it is enough that nothing is lost, wrong or shown as an error.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from curation.config import ReviewConfig, write_config
from curation.workspace import Workspace
from tests.benchmarks.together import together
from tests.benchmarks.together_people import at_the_browser, at_the_library
from tests.benchmarks.together_set import Place
from tests.night_factory import FirstNight, with_settings, with_source
from tests.review_browser import needs_chromium

_CREW = (
    partial(at_the_browser, name="browser", pause_s=0.1, keys=2),
    partial(at_the_library, name="library", pause_s=0.1, keys=2),
)


@needs_chromium
def test_together__nothing_is_lost_and_the_last_night_equals_a_rebuild(
    first_night: FirstNight, morning: Workspace, tmp_path: Path
) -> None:
    place = Place(first_night.images, tmp_path / "waiting", tmp_path / "arriving", morning)
    shutil.copytree(first_night.images / "test", place.waiting)
    place.arriving.mkdir()
    config = with_settings(with_source(first_night.config, place.arriving), remove_gone=True)
    review = ReviewConfig(page_size=4, gold=0.0, overlap=1.0)  # everybody sees everything: there is enough for both
    write_config(config.model_copy(update={"review": review}), morning.config_file)
    figures = together(place, tmp_path, seconds=4.0, crew=_CREW, looks=False)
    assert {what: found for what, found in figures["wrong"].items() if found} == {}
    assert figures["decisions acknowledged"] > 8 and min(figures["pages"].values()) > 0
    assert figures["commands"]["export"] > 0 and figures["commands"]["nightly"] > 0
