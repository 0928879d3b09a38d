"""`python -m tests.benchmarks NAME [--json]`: sizes, seconds, rates, memory, ratio to a baseline of the same run."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from inspect import signature
from typing import Any

from rich.console import Console
from rich.table import Table

# Name -> module with `run() -> dict`: facts of the run, and under "rows" one dict of figures a measurement. Where `run`
# takes `largest`, the command takes --largest.
BENCHMARKS = {
    "duplicates": "tests.benchmarks.duplicates",
    "kills": "tests.benchmarks.kills",
    "neighbours": "tests.benchmarks.neighbours",
    "pairs": "tests.benchmarks.pairs",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--largest", type=int, metavar="N", help="sizes beyond this are left out (neighbours)")
    arguments = parser.parse_args()
    run = import_module(BENCHMARKS[arguments.name]).run
    options = {} if arguments.largest is None else {"largest": arguments.largest}
    if not options.keys() <= signature(run).parameters.keys():
        parser.error(f"{arguments.name} has one size: it takes no --largest")
    figures: dict[str, Any] = run(**options)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        _print_table(arguments.name, figures)


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
