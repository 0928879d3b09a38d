"""What a report remembers for the next one: a small JSON file beside it, which may be deleted at any time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from curation.files import replace_bytes
from curation.seal import seal, unseal

RECORD_NAME = "report.json"
_VERSION = 1
_ID_LENGTH = 16  # hex digits of a sample id; a million ids written without quotes and commas take 16 MB


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """The state that a report showed: of which run, when, noise rates, which samples there were and which were flagged.

    `noise_rate` is that of all novel samples and `categories` that of each, [0, 1]; `flagged` maps a flag's name to the
    ids of the novel samples that carried it.
    """

    run_id: str
    made_at: datetime
    noise_rate: float | None
    categories: dict[str, float]
    samples: frozenset[str]
    flagged: dict[str, frozenset[str]]


def write_record(path: Path, record: ReportRecord) -> None:
    """Write the record, whole or not at all; raises `OSError`."""
    facts = {
        "version": _VERSION,
        "run_id": record.run_id,
        "made_at": record.made_at.isoformat(),
        "noise_rate": record.noise_rate,
        "categories": record.categories,
        "samples": "".join(sorted(record.samples)),
        "flagged": {name: "".join(sorted(ids)) for name, ids in sorted(record.flagged.items())},
    }
    replace_bytes(path, seal(json.dumps(facts, ensure_ascii=False).encode("utf-8")))


def read_record(path: Path) -> ReportRecord:
    """Read a record back; raises `ValueError` where it is damaged or of another version."""
    try:
        facts = json.loads(unseal(path.read_bytes()))
        if facts["version"] != _VERSION:
            raise ValueError(f"version {facts['version']}")
        return ReportRecord(
            run_id=str(facts["run_id"]),
            made_at=datetime.fromisoformat(facts["made_at"]),
            noise_rate=None if facts["noise_rate"] is None else float(facts["noise_rate"]),
            categories={str(name): float(rate) for name, rate in facts["categories"].items()},
            samples=_ids(facts["samples"]),
            flagged={str(name): _ids(ids) for name, ids in facts["flagged"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks or misspells {error}") from error


def record_before(runs: Path, run_id: str) -> tuple[ReportRecord | None, tuple[str, ...]]:
    """The newest intact record of an earlier run, and the names of damaged ones that were passed over on the way.

    Run ids begin with their time, so they sort by it. A second report of one run has the same one before it.
    """
    damaged: list[str] = []
    for path in sorted(runs.glob(f"*/{RECORD_NAME}"), reverse=True):
        if path.parent.name < run_id:
            try:
                return read_record(path), tuple(damaged)
            except (OSError, ValueError):
                damaged.append(str(path))  # the page names it
    return None, tuple(damaged)


def _ids(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _ID_LENGTH] for start in range(0, len(text), _ID_LENGTH))
