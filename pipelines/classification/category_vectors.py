"""Category vectors: what is known of a category beside its images, from a table or from an encoder that reads names.

Shapes: C categories, A the dimension of a vector. Vectors are float32 of unit norm.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from curation.encoders import Encoder
from curation.errors import TrainingError
from curation.sources.location import readable_text
from curation.values import FloatArray

_log = logging.getLogger(__name__)

FROM_TEXT = "text"  # in the place of a file: the encoder reads the names
_NAMES = "category"
_MOST_NAMED = 20  # missing categories in an error: more are no help in finding what is wrong
# A name is embedded in each of these and the mean is taken: Radford et al. (ICML 2021) gain by such an ensemble.
_TEMPLATES = ("a photo of a {}.", "a close-up photo of a {}.", "a photo of the {}, seen from afar.")
_SHAPE = "The file has a header `category,v1,v2,...` and a row of numbers for every category."


def read_category_vectors(path: Path, categories: Sequence[str]) -> FloatArray:
    """The vectors (C, A) of `categories`, in their order, from a CSV file with the header `category, v1, v2, ...`.

    Rows of other categories are left out, and the log says how many: one file may serve many exports. Raises
    `TrainingError` for a file of another form, a category that is there twice or is missing, and a vector that is zero
    or not finite; it names the row or the categories.
    """
    vectors = _read_table(path)
    others = [name for name in vectors if name not in set(categories)]
    missing = [name for name in categories if name not in vectors]
    if missing:
        raise _missing(path, missing, others, len(categories))
    if others:
        _log.warning(
            "%s: %d of %d categories are not in the export and are left out, such as %r.",
            path,
            len(others),
            len(vectors),
            others[0],
        )
    return _unit_norm(np.array([vectors[name] for name in categories], dtype=np.float64), categories, str(path))


def embed_category_names(encoder: Encoder, categories: Sequence[str]) -> FloatArray:
    """The vectors (C, A) of the names of `categories` by the text half of `encoder`.

    Each is the mean over a few sentences around the name, whose underscores are spaces; a number in front, as in
    "017.Cardinal", is left out. Raises `EncoderError` where the encoder embeds no text.
    """
    names = [readable_name(name) for name in categories]
    texts = [template.format(name) for name in names for template in _TEMPLATES]
    means = encoder.embed_text(texts).reshape(len(names), len(_TEMPLATES), -1).mean(axis=1)
    return _unit_norm(means, categories, encoder.identity)


def readable_name(category: str) -> str:
    """A category as it stands in a sentence: "017.Red_winged_Blackbird" is "Red winged Blackbird"."""
    words = re.sub(r"^\d+[._ -]+(?=\D)", "", readable_text(category)).replace("_", " ")
    return " ".join(words.split()) or category


def _read_table(path: Path) -> dict[str, list[float]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(rows, [])]
            if len(header) < 2 or header[0] != _NAMES:
                start = ", ".join(header[:3])
                raise TrainingError(f"{path} begins with {start!r} instead of `{_NAMES}` and a number.", hint=_SHAPE)
            vectors: dict[str, list[float]] = {}
            for row in rows:
                if not row:
                    continue
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(header):
                    raise TrainingError(f"{where} has {len(row)} cells, the header {len(header)}.", hint=_SHAPE)
                if row[0] in vectors:
                    raise TrainingError(f"{where}: the category {row[0]!r} is there twice.", hint="Leave one of them.")
                vectors[row[0]] = _numbers(row[1:], where)
    except OSError as error:
        raise TrainingError(
            f"the category vectors {path} cannot be read: {error.strerror}.",
            hint=f"Name a CSV file, or `{FROM_TEXT}` for an encoder that reads names.",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} is no CSV file in UTF-8: {error}.", hint=_SHAPE) from error
    return vectors


def _numbers(cells: Sequence[str], where: str) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError as error:
        raise TrainingError(f"{where}: {error}.", hint=_SHAPE) from error


def _missing(path: Path, missing: Sequence[str], others: Sequence[str], n_categories: int) -> TrainingError:
    named = ", ".join(map(repr, missing[:_MOST_NAMED])) + (", ..." if len(missing) > _MOST_NAMED else "")
    close = get_close_matches(missing[0], others, n=1)
    return TrainingError(
        f"{path} has no vector for {len(missing)} of {n_categories} categories: {named}.",
        hint=f"Is {missing[0]!r} called {close[0]!r} there?"
        if close
        else "Every base and novel category of the export needs one.",
    )


def _unit_norm(vectors: FloatArray, categories: Sequence[str], source: str) -> FloatArray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(vectors).all(axis=1) & np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if len(bad):
        raise TrainingError(
            f"{source}: the vector of {categories[bad[0]]!r} is zero or not finite.",
            hint="A category vector needs a direction: give other numbers.",
        )
    unit: FloatArray = (vectors / norms).astype(np.float32)
    return unit
