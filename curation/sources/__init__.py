"""Sources: where a set of images is listed.

A new kind of source is one file with `EXPECTS`, `accepts(path)` and `list_entries(path, ignored)`, one line in
`_KINDS`, one test. A kind that can do without categories also has `list_unlabelled(path, ignored)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from curation.errors import SourceError
from curation.values import SourceEntry

# Kind -> its module, asked in this order. Imported when asked for: reading tables loads pyarrow, which the decoding
# workers, who import this package too, do without.
_KINDS = {
    "folder": "curation.sources.folder",
    "webdataset": "curation.sources.webdataset",
    "table": "curation.sources.table",
}
# The same where images need no category: loose files come first, so that no image in a folder is passed over.
_UNLABELLED_KINDS = {
    "loose": "curation.sources.loose",
    "webdataset": "curation.sources.webdataset",
    "table": "curation.sources.table",
}


@dataclass(frozen=True, slots=True)
class SourceListing:
    """Everything a source holds: its images, and how many other things were passed over, by reason.

    `name` is the absolute path as text.
    """

    kind: str
    name: str
    entries: tuple[SourceEntry, ...]
    ignored: dict[str, int]


def list_source(path: Path, *, labelled: bool = True) -> SourceListing:
    """List the images of a source without reading them; `SourceError` if it is of no known kind or holds none.

    Where they need not be `labelled`, one image file, any folder of images and a table without categories do too;
    `category` is then "" where none is told. (Of tar shards only samples with a category are listed.)
    """
    from curation.sources.location import readable_text

    name = readable_text(str(path.absolute()))
    ignored: Counter[str] = Counter()
    try:
        if not path.exists():
            raise SourceError(f"the source {name} does not exist.", hint="Check the path.")
        kind, module = _kind_of(path, name, _KINDS if labelled else _UNLABELLED_KINDS)
        list_entries = module.list_entries if labelled else getattr(module, "list_unlabelled", module.list_entries)
        entries = tuple(list_entries(path, ignored))
    except OSError as error:
        raise SourceError(
            f"{name} cannot be read: {error.strerror or error}.", hint="Check its permissions."
        ) from error
    if not entries:
        raise SourceError(
            f"the source {name} holds no image: expected {module.EXPECTS}; passed over: {_told(ignored)}.",
            hint="Check that this is the folder or file you meant.",
        )
    return SourceListing(kind=kind, name=name, entries=entries, ignored=dict(sorted(ignored.items())))


def _kind_of(path: Path, name: str, kinds: Mapping[str, str]) -> tuple[str, ModuleType]:
    modules = {kind: import_module(module) for kind, module in kinds.items()}
    for kind, module in modules.items():
        if module.accepts(path):
            return kind, module
    expected = "; ".join(f"{kind}: {module.EXPECTS}" for kind, module in modules.items())
    found = "an empty folder" if path.is_dir() and not any(path.iterdir()) else "something else"
    raise SourceError(f"{name} is no source of images: it is {found}.", hint=f"Expected one of: {expected}.")


def _told(ignored: Counter[str]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in ignored.most_common()) or "nothing"
