"""The concat2 head on a CPU: relu(row_i + column_j) . direction fused, so that no tensor of pairs ever exists.

This is the only door to numba. The kernel releases the interpreter's lock, so that plain threads can share the rows.
"""

from __future__ import annotations

import numba
import numpy as np

from curation.values import FloatArray

_COLUMNS_AT_ONCE = 32  # 32 columns of 5,120 numbers fill 640 KiB: they stay in a core's L2 cache while rows pass by


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})  # "nnan" is left out: a NaN stays one
def _relu_dot(rows, columns, direction, offset, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """out[i, j] = offset + sum_k direction[k] * max(rows[i, k] + columns[j, k], 0); four columns share every load."""
    width = rows.shape[1]
    for start in range(0, columns.shape[0], _COLUMNS_AT_ONCE):
        stop = min(start + _COLUMNS_AT_ONCE, columns.shape[0])
        for i in range(rows.shape[0]):
            row = rows[i]
            j = start
            while j + 4 <= stop:
                first, second, third, fourth = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
                sum0 = sum1 = sum2 = sum3 = np.float32(0)
                for k in range(width):
                    of_row, toward = row[k], direction[k]
                    sum0 += toward * max(of_row + first[k], np.float32(0))
                    sum1 += toward * max(of_row + second[k], np.float32(0))
                    sum2 += toward * max(of_row + third[k], np.float32(0))
                    sum3 += toward * max(of_row + fourth[k], np.float32(0))
                out[i, j] = sum0 + offset
                out[i, j + 1] = sum1 + offset
                out[i, j + 2] = sum2 + offset
                out[i, j + 3] = sum3 + offset
                j += 4
            while j < stop:
                last = columns[j]
                total = np.float32(0)
                for k in range(width):
                    total += direction[k] * max(row[k] + last[k], np.float32(0))
                out[i, j] = total + offset
                j += 1


def relu_dot(rows: FloatArray, columns: FloatArray, direction: FloatArray, offset: float, out: FloatArray) -> None:
    """Fill out (R, C) with offset + relu(row_i + column_j) . direction for rows (R, H), columns (C, H), direction (H,).

    All float32 and contiguous in the last axis. Runs on the calling thread and leaves the interpreter to others.
    """
    _relu_dot(rows, columns, direction, np.float32(offset), out)
