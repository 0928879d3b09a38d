"""`devices`: the cores and GPUs that there are, and whether the configuration asks for others."""

from __future__ import annotations

import os
from pathlib import Path

from curation.doctor.finding import Finding, ok, problem, warning
from curation.doctor.inputs import DoctorInputs
from curation.errors import ConfigError

_DRIVER = Path("/proc/driver/nvidia/version")


def find(inputs: DoctorInputs) -> list[Finding]:
    """The processor, the GPUs, and every section of the configuration whose device is not there."""
    from curation.devices import choose_device, visible_gpus

    gpus = visible_gpus()
    findings = [_threads(len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS", ""))]
    if gpus:
        findings.append(ok(f"torch sees {len(gpus)} GPUs: {', '.join(gpus)}."))
    elif _DRIVER.exists():
        findings.append(
            warning("there is a GPU driver, and torch sees no GPU.", "Install a torch that is built for its CUDA.")
        )
    else:
        findings.append(ok("torch sees no GPU; everything runs on the CPU."))
    for section in ("embedding", "similarity", "scoring"):
        try:
            choose_device(getattr(inputs.config, section).device)
        except ConfigError as error:
            findings.append(problem(f"{section}: {error.message}", error.hint))
    return findings


def _threads(cores: int, limit: str) -> Finding:
    if limit.isdigit() and int(limit) > cores:
        return warning(
            f"OMP_NUM_THREADS is {limit}, and this process may use {cores} cores: its threads wait for each other.",
            f"Set OMP_NUM_THREADS to {cores} or less, or leave it unset.",
        )
    return ok(f"this process may use {cores} cores; OMP_NUM_THREADS is {limit or 'not set'}.")
