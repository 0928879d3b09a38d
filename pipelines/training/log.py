"""The course of a training: one row an epoch, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from curation.errors import TrainingError
from curation.files import replace_bytes

Row = Mapping[str, float | int | str | None]


class TrainingLog:
    """`training.csv` and `tensorboard/` in the folder of a training.

    The rows that a resumed training starts with are written again, so that no epoch is there twice.
    """

    def __init__(self, folder: Path, rows: Sequence[Row] = ()) -> None:
        self._path = folder / "training.csv"
        self._rows = list(rows)
        self._writer = _tensorboard(folder / "tensorboard", len(self._rows))
        self._write_csv()

    def add(self, row: Row) -> None:
        """Append the figures of one epoch; numbers also go to TensorBoard."""
        self._rows.append(row)
        self._write_csv()
        if self._writer is not None:
            for name, value in row.items():
                if isinstance(value, float):
                    self._writer.add_scalar(name, value, len(self._rows) - 1)
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write_csv(self) -> None:
        if not self._rows:
            return
        text = StringIO()
        writer = csv.DictWriter(text, list(self._rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        try:
            replace_bytes(self._path, text.getvalue().encode(), durable=False)  # the state has all of it
        except OSError as error:
            raise TrainingError(
                f"{self._path} cannot be written: {error.strerror}.", hint="Check space and permissions."
            ) from error


def _tensorboard(folder: Path, first: int) -> Any:
    """A TensorBoard writer that forgets steps from `first` on; `None`, said once, where the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard logs are not written: install webnoise-curation[tensorboard].", file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=first)
