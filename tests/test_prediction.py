"""What a classifier says of images: the right thing, whatever else is asked, and never a stop for a bad one."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from curation.errors import SourceError, TrainingError
from curation.sources import list_source
from pipelines.classification.checkpoint import save_classifier
from pipelines.classification.prediction import (
    FIXED_BATCH,
    Guess,
    PredictedImage,
    Predictions,
    UnreadableImage,
    join_parts,
    most_probable,
    pixel_probabilities,
    predict_images,
)
from pipelines.classification.prediction_table import prediction_rows, write_parts, write_predictions
from tests.classifier_factory import NAMES, builtin_classifier, colour_classifier, colour_folder, write_colour


def predicted(folder: Path) -> Predictions:
    return predict_images(colour_classifier(), list_source(folder, labelled=False).entries, workers=1)


def test_predict_images__tells_colours_apart(tmp_path: Path) -> None:
    colour_folder(tmp_path)
    seen: list[tuple[int, int]] = []
    entries = list_source(tmp_path).entries
    found = predict_images(colour_classifier(), entries, lambda _, done, total: seen.append((done, total)), workers=1)
    assert [image.category for image in found.images] == [entry.category for entry in entries]
    assert [NAMES[code] for code in found.probabilities.argmax(axis=1)] == [image.category for image in found.images]
    assert found.unreadable == () and seen[-1] == (9, 9)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)


def test_predict_images__bad_ones_are_rows_with_a_reason(tmp_path: Path) -> None:
    write_colour(tmp_path / "a.png", "red")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_bytes(b"<html>not found</html>")
    write_colour(tmp_path / "below" / "d.png", "blue")
    found = predicted(tmp_path)
    assert [image.image_id for image in found.images] == ["a.png", "below/d.png"]
    assert found.probabilities.argmax(axis=1).tolist() == [0, 2]
    assert [(bad.image_id, bool(bad.reason)) for bad in found.unreadable] == [("b.png", True), ("c.jpg", True)]


def test_predict_images__none_readable(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"")
    found = predicted(tmp_path)
    assert found.images == () and found.probabilities.shape == (0, 3) and len(found.unreadable) == 1


def test_pixel_probabilities__do_not_depend_on_the_other_images() -> None:
    loaded = builtin_classifier()
    pixels = np.random.default_rng(0).integers(0, 256, (FIXED_BATCH + 3, 96, 96, 3), dtype=np.uint8)
    together = pixel_probabilities(loaded, pixels)
    np.testing.assert_array_equal(pixel_probabilities(loaded, pixels[5:6]), together[5:6])
    np.testing.assert_array_equal(pixel_probabilities(loaded, pixels[-2:]), together[-2:])


def test_probabilities__a_temperature_flattens_them() -> None:
    red = np.full((1, 16, 16, 3), (220, 30, 30), dtype=np.uint8)
    sure = pixel_probabilities(colour_classifier(), red)
    flat = pixel_probabilities(colour_classifier(temperature=4.0), red)
    assert sure.argmax() == flat.argmax() == 0 and flat.max() < sure.max()
    np.testing.assert_allclose(flat, sure**0.25 / (sure**0.25).sum(), rtol=1e-4)


def test_most_probable__ties_go_to_the_smaller_code_and_there_are_no_more_than_categories() -> None:
    (found,) = most_probable(np.array([[0.2, 0.4, 0.4]]), NAMES, 9)
    assert found == (Guess("green", 0.4), Guess("blue", 0.4), Guess("red", 0.2))


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_write_predictions__every_image_is_a_row(tmp_path: Path, suffix: str) -> None:
    write_colour(tmp_path / "images" / 'a,"b".png', "green")
    (tmp_path / "images" / "bad.png").write_bytes(b"")
    path = tmp_path / f"predictions{suffix}"
    write_predictions(path, predicted(tmp_path / "images"), NAMES, 2)
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if suffix == ".json" else list(csv.DictReader(text.splitlines()))
    good, bad = rows
    assert good["image_id"] == 'a,"b".png' and good["reason"] == ""
    assert bad["image_id"] == "bad.png" and bad["reason"]
    if suffix == ".json":
        assert [guess["category"] for guess in good["predictions"]][:1] == ["green"] and bad["predictions"] == []
    else:
        assert good["predicted_1"] == "green" and float(good["probability_1"]) > float(good["probability_2"])
        assert bad["predicted_1"] == bad["probability_1"] == ""


def test_write_predictions__another_suffix_and_no_folder_are_refused(tmp_path: Path) -> None:
    nothing = Predictions((), np.empty((0, 3), dtype=np.float32), ())
    with pytest.raises(TrainingError, match=r"\.csv or \.json"):
        write_predictions(tmp_path / "predictions.txt", nothing, NAMES, 5)
    with pytest.raises(TrainingError, match="cannot be written"):
        write_predictions(tmp_path / "missing" / "predictions.csv", nothing, NAMES, 5)


def made_parts(parts: int, images: int, categories: int) -> Iterator[Predictions]:
    """Predictions of images that there are not, part by part; every tenth is unreadable."""
    for part in range(parts):
        told = [f"{part}/{row}\u2028.png" for row in range(images)]
        probabilities = np.random.default_rng(part).dirichlet(np.ones(categories), images).astype(np.float32)
        readable = [row for row in range(images) if row % 10]
        yield Predictions(
            tuple(PredictedImage(told[row], "", f"file:///{told[row]}", "a" * 64) for row in readable),
            probabilities[readable],
            tuple(UnreadableImage(told[row], "", f"file:///{told[row]}", "empty") for row in range(0, images, 10)),
        )


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_write_parts__many_parts_give_the_file_of_one(tmp_path: Path, suffix: str) -> None:
    whole = join_parts(made_parts(40, 50, 3), 3)
    paths = [tmp_path / f"{name}{suffix}" for name in ("parts", "whole")]
    summary = write_parts(paths[0], made_parts(40, 50, 3), NAMES, 2)
    write_predictions(paths[1], whole, NAMES, 2)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    rows = list(prediction_rows(whole, NAMES, 2))
    if suffix == ".json":
        assert paths[0].read_text() == json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    else:
        with paths[0].open(newline="") as file:
            assert [row["image_id"] for row in csv.DictReader(file)] == [row["image_id"] for row in rows]
    assert (summary.images, summary.unreadable) == (1800, 200) and summary.first == tuple(rows[:20])
    assert summary.first_unreadable == whole.unreadable[:20]
    assert write_parts(None, made_parts(40, 50, 3), NAMES, 2) == summary


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_write_parts__no_more_than_a_part_is_held(tmp_path: Path, suffix: str) -> None:
    def peak(parts: int) -> int:
        tracemalloc.start()
        try:
            write_parts(tmp_path / f"p{suffix}", made_parts(parts, 50, 500), [str(name) for name in range(500)], 5)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(3), peak(20)  # 0.1 MB of probabilities a part
    assert many < 1.5 * few and many < 20 * 50 * 500 * 4 / 2


def test_write_parts__a_run_that_fails_leaves_the_earlier_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Predictions]:
        yield from made_parts(2, 50, 3)
        raise KeyboardInterrupt

    path = tmp_path / "p.csv"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt):
        write_parts(path, failing(), NAMES, 2)
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def test_write_parts__a_file_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    def unasked() -> Iterator[Predictions]:
        raise AssertionError("a prediction was asked for")
        yield

    with pytest.raises(TrainingError, match="cannot be written"):
        write_parts(tmp_path / "missing" / "p.csv", unasked(), NAMES, 2)


def test_predict_verb__a_large_run_gives_the_file_of_all_at_once(tmp_path: Path) -> None:
    loaded = builtin_classifier()
    save_classifier(tmp_path / "model.safetensors", loaded.classifier, loaded.facts)
    for number in range(150):  # decoded in three batches
        write_colour(tmp_path / "images" / f"{number:03d}.png", NAMES[number % 3], number)
    for number in (5, 70, 71):
        (tmp_path / "images" / f"{number:03d}.png").write_bytes(b"no image")
    images, table, expected = tmp_path / "images", tmp_path / "p.csv", tmp_path / "expected.csv"
    done = CliRunner().invoke(
        app, f"predict {tmp_path} {images} --out {table} --device cpu --top 3", catch_exceptions=False
    )
    assert done.exit_code == 0 and "predicted 147 of 150 images, 3 unreadable" in done.stdout
    entries = list_source(images, labelled=False).entries
    write_predictions(expected, predict_images(loaded, entries, workers=1), NAMES, 3)
    assert table.read_bytes() == expected.read_bytes()
    shown = CliRunner().invoke(app, f"predict {tmp_path} {images} --device cpu --top 1", catch_exceptions=False).stdout
    assert "020.png" in shown and "021.png" not in shown and "and 127 more images" in shown


def test_predict_verb__folder_of_a_training_to_json_and_csv(tmp_path: Path) -> None:
    loaded = builtin_classifier()
    save_classifier(tmp_path / "out" / "model.safetensors", loaded.classifier, loaded.facts)
    write_colour(tmp_path / "images" / "a.png", "red")
    (tmp_path / "images" / "bad.png").write_bytes(b"")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    table, images = tmp_path / "p.csv", tmp_path / "images"
    run = CliRunner().invoke
    done = run(app, ["predict", str(tmp_path / "out"), str(images), "--top", "2", "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    good, bad = json.loads(done.stdout)
    assert len(good["predictions"]) == 2 and bad["reason"]
    file = str(tmp_path / "out" / "model.safetensors")
    done = run(app, ["predict", file, str(images), "--out", str(table), "--device", "cpu"])
    assert done.exit_code == 0 and "predicted 1 of 2 images, 1 unreadable" in done.stdout
    assert "unreadable: bad.png" in done.stdout and "passed over 1" in done.stdout
    assert len(table.read_text().splitlines()) == 3
    done = run(app, ["predict", file, str(images / "bad.png")])
    assert done.exit_code == 1 and "predicted 0 of 1" in done.stdout


def test_list_source__without_categories(tmp_path: Path) -> None:
    image = write_colour(tmp_path / "set" / "a.png", "red")
    write_colour(tmp_path / "set" / "deep" / "er" / "b.png", "red")
    (tmp_path / "set" / "notes.csv").write_text("x,y\n1,2\n")
    (tmp_path / "list.csv").write_text("image\nset/a.png\nset/deep/er/b.png\n")
    (tmp_path / "told.csv").write_text("image,category\nset/a.png,red\nset/deep/er/b.png,\n")
    listed = {
        name: [(entry.image_id, entry.category) for entry in list_source(tmp_path / name, labelled=False).entries]
        for name in ("set", "set/a.png", "list.csv", "told.csv")
    }
    assert listed["set"] == [("a.png", ""), ("deep/er/b.png", "")]
    assert listed["set/a.png"] == [("a.png", "")]
    assert listed["list.csv"] == [("set/a.png", ""), ("set/deep/er/b.png", "")]
    assert listed["told.csv"] == [("set/a.png", "red"), ("set/deep/er/b.png", "")]
    assert list_source(image, labelled=False).kind == "loose"
    with pytest.raises(SourceError, match="no column 'category'"):
        list_source(tmp_path / "list.csv")
    with pytest.raises(SourceError, match="no source of images"):
        list_source(image)
    with pytest.raises(SourceError, match="an image file or a folder of images"):
        (tmp_path / "text.md").write_text("hello")
        list_source(tmp_path / "text.md", labelled=False)
