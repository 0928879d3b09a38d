"""Where weights that were downloaded once lie on this machine; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def cached_weights(repository: str) -> Path | None:
    """The first file of weights that is kept of a repository of the Hugging Face hub; `None` where there is none."""
    if not repository:
        return None
    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError):
        return None
    files = [folder / name for suffix in _SUFFIXES for name in sorted(folder.glob(f"*{suffix}"))]
    return next((path for path in files if path.is_file()), None)


def downloaded_file(address: str, folder: Path) -> Path | None:
    """The file of this address where a library keeps what it downloads; `None` where it is not there."""
    path = folder.expanduser() / Path(address).name
    return path if address and path.is_file() else None
