"""Where torch computes."""

from __future__ import annotations

import torch

from curation.errors import ConfigError


def visible_gpus() -> list[str]:
    """The names of the GPUs that torch sees."""
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def choose_device(name: str) -> torch.device:
    """The torch device called `name`; "auto" takes a GPU where torch sees one.

    Asking for a GPU that is not there is a `ConfigError`, not a silent fallback.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' was asked for and torch sees no GPU.", hint="Set the device to auto or cpu.")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def arithmetic(name: str) -> str:
    """What decides how torch rounds on the device called `name`: its version and the kind of processor."""
    device = choose_device(name)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__} on {kind}"
