"""What every test starts from: few threads, a private workspace, small images with known content."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch and numba are imported: the suite runs beside other work, and small problems gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

# A shell that starts the suite in the background lets it ignore Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from curation.config import Config
from curation.workspace import Workspace, create_workspace

settings.register_profile("suite", deadline=None)  # a busy machine takes its time; speed is measured, not tested
settings.load_profile("suite")

pytest_plugins = ["tests.night_factory", "tests.review_browser"]


@pytest.fixture(scope="session", autouse=True)
def _own_priority() -> Iterator[None]:
    """Tests run verbs in this process, and those that give way would do so for the rest of the suite."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "setpriority", lambda *_: None)
        yield


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace with the default configuration."""
    return create_workspace(tmp_path / "ws", Config())


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """`write_image(path, seed)` writes a small JPEG that differs for every seed."""

    def write(path: Path, seed: int, *, size: int = 24) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, quality=90)
        return path

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CURATION_DATA", Path(__file__).parent.parent.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real data is not at {folder}: set CURATION_DATA to the folder that holds `data` and `weights`")
    return folder


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images of 10 base and 3 novel categories, 30 % of the novel ones wrong: base/, novel/, test/, truth.csv."""
    from curation.demo.images import make_demo_images

    folder = tmp_path_factory.mktemp("small-demo") / "images"
    make_demo_images(
        folder, base_categories=10, novel_categories=3, base_images=14, novel_images=16, test_images=3, workers=1
    )
    return folder


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small CLIP model (32 px, 16 dimensions), which open_clip then knows as `small-clip`."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "small-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "small-clip.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("small-clip", pretrained=None).state_dict(), folder / "clip.safetensors")
    return folder / "clip.safetensors"


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts the script that it runs in the place of `__main__`; processes spawned later would run that."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
