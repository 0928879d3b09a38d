"""The closed-form start of every head: directions scaled so that images of one category vary alike in all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.values import FloatArray


def fit_whitening(embeddings: FloatArray, codes: NDArray[np.int64], shrinkage: float) -> tuple[FloatArray, FloatArray]:
    """Centre (D,) and whitening (D, D) of embeddings (N, D) whose categories are `codes` (N,).

    W is the covariance within categories plus `shrinkage` times its mean eigenvalue on the diagonal. The columns of the
    whitening satisfy V^T W V = I and are sorted by the total variance along them, largest first: cosines after it are
    those of within-class covariance normalisation (Hatch et al., Interspeech 2006), and its first p columns are the
    best p. The signs are fixed (largest entry positive), so the result does not depend on the LAPACK in use.
    """
    rows = embeddings.astype(np.float64)
    centre = rows.mean(axis=0)
    rows = rows - centre
    residuals = rows - _category_means(rows, codes)
    within = residuals.T @ residuals / len(rows)
    mean_variance = max(float(np.trace(within)) / len(within), 1e-12)  # identical images in every category: no spread
    within[np.diag_indices_from(within)] += shrinkage * mean_variance
    decorrelate = np.linalg.inv(np.linalg.cholesky(within)).T
    whitened = rows @ decorrelate
    _, directions = np.linalg.eigh(whitened.T @ whitened)
    whitening = decorrelate @ directions[:, ::-1]
    largest = np.abs(whitening).argmax(axis=0)
    whitening *= np.sign(whitening[largest, np.arange(len(largest))])
    return centre.astype(np.float32), whitening.astype(np.float32)


def _category_means(rows: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """For every row the mean of the rows of its category."""
    sums = np.zeros((int(codes.max()) + 1, rows.shape[1]))
    np.add.at(sums, codes, rows)
    means: NDArray[np.float64] = (sums / np.maximum(np.bincount(codes), 1)[:, None])[codes]
    return means
