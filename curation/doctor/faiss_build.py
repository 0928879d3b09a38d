"""`faiss`: which FAISS is installed, and whether it uses the GPU that torch sees."""

from __future__ import annotations

from curation.doctor.finding import Finding, ok, warning
from curation.doctor.inputs import DoctorInputs
from indexes.faiss_index import faiss_build


def find(inputs: DoctorInputs) -> list[Finding]:  # noqa: ARG001 - every check has this signature
    """One finding."""
    from curation.devices import visible_gpus

    build = faiss_build()
    told = f"FAISS {build.version} ({build.instructions}), {build.threads} threads"
    if build.gpus:
        return [ok(f"{told}, {build.gpus} GPUs.")]
    if visible_gpus():
        return [
            warning(
                f"{told}: it is a CPU build, and torch sees a GPU; approximate searches use the CPU.",
                "pip install --force-reinstall --no-deps faiss-gpu",
            )
        ]
    return [ok(f"{told}, CPU only.")]
