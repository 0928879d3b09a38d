"""Category vectors: from a CSV file or an encoder that reads names, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from curation.encoders import Encoder, load_encoder
from curation.errors import EncoderError, TrainingError
from pipelines.classification.category_vectors import embed_category_names, read_category_vectors, readable_name


def test_read_category_vectors__in_the_order_asked_for_with_unit_norm(tmp_path: Path) -> None:
    path = tmp_path / "vectors.csv"
    path.write_text('\ufeffcategory, v1, v2\r\n"swift, common",3,4\r\n\r\nowl,-2e0,0\r\n', encoding="utf-8")
    found = read_category_vectors(path, ["owl", "swift, common"])
    np.testing.assert_allclose(found, [[-1, 0], [0.6, 0.8]], rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("", "begins with ''", "a header"),
        ("name,v1\nowl,1\n", "begins with 'name, v1'", "a header"),
        ("category\nowl\n", "begins with 'category'", "a header"),
        ("category,v1,v2\nowl,1\n", "line 2 has 2 cells, the header 3", "a header"),
        ("category,v1\nowl,big\n", "line 2: could not convert", "a header"),
        ("category,v1\nowl,1\nowl,2\n", "line 3: the category 'owl' is there twice", "one of them"),
        ("category,v1\nowl,1\n", "no vector for 1 of 2 categories: 'swift'.", "Every base and novel"),
        ("category,v1\nemu,1\n", "no vector for 2 of 2 categories: 'owl', 'swift'.", "Every base and novel"),
        ("category,v1\nowl,1\nswifd,1\n", "no vector for 1 of 2", "Is 'swift' called 'swifd' there"),
        ("category,v1\nowl,1\nswift,nan\n", "the vector of 'swift' is zero or not finite", "a direction"),
        ("category,v1\nowl,inf\nswift,1\n", "the vector of 'owl' is zero or not finite", "a direction"),
        ("category,v1,v2\nowl,0,0\nswift,1,1\n", "the vector of 'owl' is zero or not finite", "a direction"),
        ('category,v1\n"owl,1\n', "no CSV file", "a header"),
    ],
)
def test_read_category_vectors__refuses(text: str, told: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.csv"
    path.write_text(text)
    with pytest.raises(TrainingError, match=told) as caught:
        read_category_vectors(path, ["owl", "swift"])
    assert hint in caught.value.hint and "vectors.csv" in caught.value.message


def test_read_category_vectors__other_categories_are_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.csv"
    path.write_text("category,v1,v2\nemu,0,0\nowl,1,0\nrhea,nan,1\nswift,0,2\n")
    np.testing.assert_array_equal(read_category_vectors(path, ["swift", "owl"]), [[0, 1], [1, 0]])
    assert "vectors.csv: 2 of 4 categories are not in the export and are left out, such as 'emu'." in caplog.text
    caplog.clear()
    path.write_text("category,v1,v2\nowl,1,0\nswift,0,2\n")
    read_category_vectors(path, ["swift", "owl"])
    assert not caplog.records


def test_read_category_vectors__of_many_missing_ones_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "vectors.csv"
    path.write_text("category,v1\nowl,1\n")
    with pytest.raises(TrainingError, match=r"no vector for 30 of 30 categories: 'c0', 'c1', .*'c19', \.\.\.\."):
        read_category_vectors(path, [f"c{number}" for number in range(30)])


def test_read_category_vectors__no_text_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"category,v1\n\xff\xfe\n")
    for name, told in (("binary.csv", "no CSV file in UTF-8"), ("missing.csv", "cannot be read")):
        with pytest.raises(TrainingError, match=told):
            read_category_vectors(tmp_path / name, ["owl"])


class _Reader:
    """An encoder of texts that counts three letters."""

    identity = "reader#1"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_text(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        counts = np.array([[text.count(letter) for letter in "owl"] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_embed_category_names__the_mean_over_sentences_with_unit_norm() -> None:
    reader = _Reader()
    found = embed_category_names(cast("Encoder", reader), ["017.Snowy_Owl", "low"])
    assert len(reader.texts) == 6 and reader.texts[0] == "a photo of a Snowy Owl."
    means = _Reader().embed_text(reader.texts).reshape(2, 3, 3).mean(axis=1)
    np.testing.assert_allclose(found, means / np.linalg.norm(means, axis=1, keepdims=True), rtol=1e-6)


def test_embed_category_names__an_encoder_of_images_alone_says_so() -> None:
    with pytest.raises(EncoderError, match="no text") as caught:
        embed_category_names(load_encoder("builtin", "cpu"), ["owl"])
    assert "open_clip" in caught.value.hint


@pytest.mark.parametrize(
    ("category", "name"),
    [("001.Black_footed_Albatross", "Black footed Albatross"), ("1966 Shelby", "Shelby"), ("747", "747"), ("_", "_")],
)
def test_readable_name__as_in_a_sentence(category: str, name: str) -> None:
    assert readable_name(category) == name
