"""How an export is loaded elsewhere, as code: what its card and the README show, and the tests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class LoadingCode(NamedTuple):
    """A way to load an export: what with, and Python code that does it."""

    title: str
    code: str


def loading_code(export_format: str, folder: str, part: str | None) -> list[LoadingCode]:
    """The ways to load the part of an export of this format that lies in `folder`; `None`: it is not split."""
    known = [LoadingCode(title, make(folder, part)) for title, make in _WAYS.get(export_format, {}).items()]
    return [*known, LoadingCode("this tool's package", _read_export(folder, part))]


def _torchvision(folder: str, part: str | None) -> str:
    place = f" / {_quoted(part)}" if part else ""
    return f"""\
import csv
from pathlib import Path

from torchvision.datasets import ImageFolder

folder = Path({_quoted(folder)})
with (folder / "samples.csv").open(newline="", encoding="utf-8") as file:
    weight_of = {{row["file"]: float(row["weight"]) for row in csv.DictReader(file)}}

images = ImageFolder(folder{place})
weights = [weight_of[Path(path).relative_to(folder).as_posix()] for path, _ in images.samples]
picture, label = images[0]  # label counts the folders, images.classes; samples.csv has the ids that never change
"""


def _timm_folder(folder: str, part: str | None) -> str:
    prefix = f"{part}/" if part else ""
    name = f'f"{prefix}{{name}}"' if prefix else "name"
    return f"""\
import csv
from pathlib import Path

from timm.data import create_dataset

folder = Path({_quoted(folder)})
with (folder / "samples.csv").open(newline="", encoding="utf-8") as file:
    weight_of = {{row["file"]: float(row["weight"]) for row in csv.DictReader(file)}}

images = create_dataset("", root=str(folder), split={_quoted(part or "")})
weights = [weight_of[{name}] for name in images.filenames()]
picture, label = images[0]  # images.reader.class_to_idx names the labels: not always in torchvision's order
"""


def _webdataset(folder: str, part: str | None) -> str:
    return f"""\
from pathlib import Path

import webdataset

shards = sorted(str(path) for path in Path({_quoted(folder)}).glob("{part or "shard"}-*.tar"))
images = (
    webdataset.WebDataset(shards, shardshuffle=len(shards))
    .shuffle(1000)
    .decode("pil")
    .to_tuple("jpg;png;webp;gif;bmp;tif;ppm", "cls", "json")
)
for picture, category_id, facts in images:
    weight = facts["weight"]  # the other keys are the columns of samples.csv
"""


def _datasets(folder: str, part: str | None) -> str:
    return f"""\
from datasets import load_dataset

images = load_dataset({_quoted(folder)}, split={_quoted(part or "train")})
weights = images["weight"]
picture, label = images[0]["image"], images[0]["label"]  # images.features["label"].names names the labels
"""


def _timm_datasets(folder: str, part: str | None) -> str:
    return f"""\
from timm.data import create_dataset

images = create_dataset({_quoted(f"hfds/{folder}")}, split={_quoted(part or "train")})
weights = images.reader.dataset["weight"]
picture, label = images[0]  # images.reader.class_to_idx names the labels
"""


def _pandas(folder: str, part: str | None) -> str:
    return f"""\
import pandas

rows = pandas.read_parquet({_quoted(f"{folder}/{part or 'images'}.parquet")})
encoded, category_id, weight = rows.loc[0, ["image", "category_id", "weight"]]  # encoded: the bytes of a JPEG, PNG, ...
"""


def _read_export(folder: str, part: str | None) -> str:
    condition = f" if sample.split == {_quoted(part)}" if part else ""
    return f"""\
from pathlib import Path

from curation.export.reading import read_export

exported = read_export(Path({_quoted(folder)}))
chosen = [index for index, sample in enumerate(exported.samples){condition}]
for index in chosen:
    encoded, category_id, weight = exported.image_bytes(index), exported.category_ids[index], exported.weights[index]
"""


def _quoted(text: str) -> str:
    """`text` as a Python string in double quotes."""
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'


_WAYS: Mapping[str, Mapping[str, Callable[[str, str | None], str]]] = {
    "imagefolder": {"torchvision": _torchvision, "timm": _timm_folder},
    "webdataset": {"webdataset": _webdataset},
    "hf": {"Hugging Face datasets": _datasets, "timm": _timm_datasets},
    "parquet": {"pandas": _pandas},
}
