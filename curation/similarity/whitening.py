"""The closed-form start of every head: directions scaled so that images of one category vary alike in all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.category_sums import category_sums
from curation.similarity.pair_metrics import average_precision
from curation.values import FloatArray

_SHRINKAGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # the best on birds (2,500 images of 1,280 numbers) is 1 to 3


def fit_whitening(
    embeddings: FloatArray, codes: NDArray[np.int64], shrinkage: float, projected: int
) -> tuple[FloatArray, FloatArray]:
    """Centre (D,) and whitening (D, P), P = `projected`, of embeddings (N, D) whose categories are `codes` (N,).

    W is the covariance within categories plus `shrinkage` times its mean eigenvalue on the diagonal. The columns of the
    whitening satisfy V^T W V = I and are sorted by the total variance along them, largest first: cosines after it are
    those of within-class covariance normalisation (Hatch et al., Interspeech 2006), in the P directions that vary
    most. The signs are fixed (largest entry positive), so the result does not depend on the LAPACK in use.
    """
    centre, rows, within = _centre_and_scatter(embeddings, codes)
    within[np.diag_indices_from(within)] += shrinkage * _mean_variance(within)
    decorrelate = np.linalg.inv(np.linalg.cholesky(within)).T
    whitened = rows @ decorrelate
    _, directions = np.linalg.eigh(whitened.T @ whitened)
    whitening = decorrelate @ directions[:, ::-1][:, :projected]
    largest = np.abs(whitening).argmax(axis=0)
    whitening *= np.sign(whitening[largest, np.arange(len(largest))])
    return centre.astype(np.float32), whitening.astype(np.float32)


def choose_shrinkage(
    embeddings: FloatArray, codes: NDArray[np.int64], judged: FloatArray, judged_codes: NDArray[np.int64]
) -> float:
    """The shrinkage that tells the pairs of `judged` (L, D), images of other categories, apart best.

    Best by the average precision of cosines after whitening, without the diagonal; ties go to the stronger shrinkage.
    """
    centre, _, within = _centre_and_scatter(embeddings, codes)
    variances, directions = np.linalg.eigh(within)
    rotated = (judged - centre) @ directions
    off_diagonal = ~np.eye(len(judged), dtype=bool)
    same = (judged_codes[:, None] == judged_codes[None, :])[off_diagonal]

    def precision(shrinkage: float) -> float:
        whitened = rotated / np.sqrt(np.maximum(variances, 0) + shrinkage * _mean_variance(within))
        whitened /= np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), 1e-12)
        return average_precision((whitened @ whitened.T).astype(np.float32)[off_diagonal], same)

    return max(_SHRINKAGES, key=lambda shrinkage: (precision(shrinkage), shrinkage))


def _centre_and_scatter(
    embeddings: FloatArray, codes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The mean (D,), the embeddings less the mean (N, D) and their covariance within categories (D, D)."""
    rows = embeddings.astype(np.float64)
    centre = rows.mean(axis=0)
    rows -= centre
    means = category_sums(rows, codes, int(codes.max()) + 1) / np.maximum(np.bincount(codes), 1)[:, None]
    residuals = rows - means[codes]
    return centre, rows, residuals.T @ residuals / len(rows)


def _mean_variance(within: NDArray[np.float64]) -> float:
    """The mean eigenvalue; not quite 0 where the images of every category are identical."""
    return max(float(np.trace(within)) / len(within), 1e-12)
