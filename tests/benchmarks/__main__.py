"""`python -m tests.benchmarks NAME [--json]`: sizes, seconds, rates, memory, ratio to a baseline of the same run."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Name -> module with `run() -> dict`: facts of the run, and under "rows" one dict of figures a measurement. An option
# of the command is an argument of that name of `run`. A module with `print_table` prints its figures itself.
BENCHMARKS = {
    "alarms": "tests.benchmarks.alarms",
    "classification": "tests.benchmarks.classification",
    "duplicates": "tests.benchmarks.duplicates",
    "faults": "tests.benchmarks.faults",
    "hybrid": "tests.benchmarks.hybrid",
    "neighbours": "tests.benchmarks.neighbours",
    "nightly": "tests.benchmarks.nightly",
    "noise": "tests.benchmarks.noise",
    "pairs": "tests.benchmarks.pairs",
    "review": "tests.benchmarks.review",
    "together": "tests.benchmarks.together",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--largest", type=int, metavar="N", help="sizes beyond this are left out (neighbours)")
    parser.add_argument("--settings", choices=["natural", "all"], help="the sets as they are, or others too (noise)")
    parser.add_argument("--nights", type=int, metavar="N", help="judged of every kind and history (alarms)")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep what takes long (classification, noise, review, together)"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="samples in the workspace (nightly, review, together)")
    parser.add_argument("--minutes", type=float, metavar="M", help="that everybody works at once (together)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="that a backbone is fine-tuned on (classification)")
    parser.add_argument("--seeds", type=int, metavar="N", help="of every mean (classification, hybrid)")
    arguments = vars(parser.parse_args())
    name, as_json = arguments.pop("name"), arguments.pop("json")
    module = import_module(BENCHMARKS[name])
    options = {option: value for option, value in arguments.items() if value is not None}
    if unknown := options.keys() - signature(module.run).parameters.keys():
        parser.error(f"{name} takes no {', '.join(f'--{option}' for option in sorted(unknown))}")
    figures: dict[str, Any] = module.run(**options)
    if as_json:
        print(json.dumps(figures, indent=2))
    elif hasattr(module, "print_table"):
        module.print_table(figures)
    else:
        _print_table(name, figures)


def _print_table(name: str, figures: dict[str, Any]) -> None:
    facts = ", ".join(f"{key} {_readable(value)}" for key, value in figures.items() if key != "rows")
    rows = figures.get("rows", [])
    table = Table(*(rows[0] if rows else ()), title=f"{name}: {facts}")
    for row in rows:
        table.add_row(*(_readable(value) for value in row.values()))
    Console(width=200).print(table)


def _readable(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
