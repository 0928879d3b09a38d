"""The generated image set: what lies where, what the truth says, and that it is the same every time."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.demo.images import CLEAN, LABEL_FLIP, OUT_OF_DOMAIN, OUTLIER, DemoTruth, invent_task, make_demo_images
from curation.demo.markings import Skin, pattern_mask
from curation.demo.places import PLACES, draw_place
from curation.demo.rendering import Shot, draw_shot, photograph, still_life
from curation.demo.species import KINDS, PATTERN_WORDS, Marking, invent_genera, invent_species
from curation.encoders.make_builtin import Recipe, invent_training_species
from curation.errors import SourceError


def small_set(folder: Path, seed: int = 0, workers: int = 1) -> DemoTruth:
    return make_demo_images(
        folder,
        seed=seed,
        base_categories=5,
        novel_categories=4,
        base_images=2,
        novel_images=10,
        test_images=1,
        side_px=48,
        workers=workers,
    )


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return small_set(tmp_path_factory.mktemp("demo"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_make_demo_images__every_folder_holds_what_was_asked_for(truth: DemoTruth) -> None:
    counts = Counter((f.parent.parent.name, f.parent.name) for f in truth.folder.rglob("*.jpg"))
    expected = {("base", name): 2 for name in truth.base_categories}
    expected |= {("novel", name): 10 for name in truth.novel_categories}
    expected |= {("test", name): 1 for name in truth.novel_categories}
    assert counts == expected
    assert len(truth.base_categories) == 5
    assert len(truth.novel_categories) == 4


def test_make_demo_images__images_are_rgb_and_of_the_size_asked_for(truth: DemoTruth) -> None:
    for path in truth.folder.rglob("*.jpg"):
        with Image.open(path) as image:
            image.load()
            assert (image.size, image.mode, image.format) == ((48, 48), "RGB", "JPEG")


def test_make_demo_images__base_and_novel_are_disjoint_and_of_the_same_families(truth: DemoTruth) -> None:
    assert not set(truth.base_categories) & set(truth.novel_categories)
    families = {name.split("_", 1)[1] for name in truth.base_categories}
    assert {name.split("_", 1)[1] for name in truth.novel_categories} <= families


def test_make_demo_images__truth_file_is_the_returned_truth(truth: DemoTruth) -> None:
    with (truth.folder / "truth.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "web_category", "true_category", "noise"]
    assert rows[1:] == [[r.image, r.web_category, r.true_category, r.noise] for r in truth.rows]
    novel = {str(f.relative_to(truth.folder).as_posix()) for f in (truth.folder / "novel").rglob("*.jpg")}
    assert {r.image for r in truth.rows} == novel


def test_make_demo_images__thirty_percent_of_every_category_are_wrong(truth: DemoTruth) -> None:
    for category in truth.novel_categories:
        counts = Counter(row.noise for row in truth.rows if row.web_category == category)
        assert counts == {CLEAN: 7, LABEL_FLIP: 2, OUT_OF_DOMAIN: 1}


def test_make_demo_images__noise_word_and_true_category_agree(truth: DemoTruth) -> None:
    for row in truth.rows:
        assert row.image.startswith(f"novel/{row.web_category}/")
        if row.noise == CLEAN:
            assert row.true_category == row.web_category
        elif row.noise == LABEL_FLIP:
            assert row.true_category in set(truth.novel_categories) - {row.web_category}
        else:
            assert row.true_category == OUTLIER


def test_make_demo_images__noise_does_not_follow_the_order_of_files(truth: DemoTruth) -> None:
    positions = [Path(row.image).stem for row in truth.rows if row.noise != CLEAN]
    assert len(set(positions)) > 3, "wrong images share a place in every category"


def test_make_demo_images__same_seed_same_bytes(truth: DemoTruth, tmp_path: Path) -> None:
    small_set(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(truth.folder)


def test_make_demo_images__another_seed_gives_other_images(truth: DemoTruth, tmp_path: Path) -> None:
    other = small_set(tmp_path / "other", seed=1)
    assert not set(files_of(other.folder).values()) & set(files_of(truth.folder).values())


def test_make_demo_images__processes_change_nothing(tmp_path: Path) -> None:
    arguments = {"base_categories": 2, "novel_categories": 2, "base_images": 60, "novel_images": 60, "side_px": 32}
    make_demo_images(tmp_path / "one", workers=1, **arguments)
    make_demo_images(tmp_path / "two", workers=2, **arguments)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_make_demo_images__noise_free(tmp_path: Path) -> None:
    truth = make_demo_images(
        tmp_path / "d",
        base_categories=1,
        novel_categories=2,
        base_images=1,
        novel_images=3,
        noise=0.0,
        side_px=32,
        workers=1,
    )
    assert {row.noise for row in truth.rows} == {CLEAN}


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_categories": 0},
        {"novel_categories": 1},
        {"novel_images": 0},
        {"noise": 0.95},
        {"noise": -0.1},
        {"side_px": 8},
        {"seed": -1},
        {"base_categories": 500},
    ],
)
def test_make_demo_images__impossible_numbers_write_nothing(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(SourceError) as caught:
        make_demo_images(tmp_path / "d", **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
    assert not (tmp_path / "d").exists()


def test_make_demo_images__occupied_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SourceError, match="not empty"):
        small_set(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_make_demo_images__a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SourceError, match="cannot be written"):
        small_set(tmp_path / "file")


@pytest.mark.parametrize("kind", KINDS)
def test_photograph__the_species_covers_part_of_the_picture(kind: str) -> None:
    rng = np.random.default_rng(3)
    species = invent_species(rng, invent_genera(rng, 1, kinds=[kind])[0], 1)[0]
    shot = replace(draw_shot(rng, kind), occluded=False)
    picture = np.asarray(photograph(species, shot, np.random.default_rng(1), 64), float)
    empty = np.asarray(photograph(species, replace_pose(shot, 9.0), np.random.default_rng(1), 64), float)
    changed = (np.abs(picture - empty).max(2) > 12).mean()
    assert 0.05 < changed < 0.9


def replace_pose(shot: Shot, off: float) -> Shot:
    turn, scale, _, _ = shot.pose
    return replace(shot, pose=(turn, scale, off, off))


@pytest.mark.parametrize("place", range(PLACES))
def test_draw_place__colours_stay_in_range(place: int) -> None:
    scene = draw_place(place, (0.9, 0.1, 0.4), np.random.default_rng(0), 40)
    assert scene.shape == (3, 40, 40)
    assert scene.dtype == np.float32
    assert scene.min() >= 0
    assert scene.max() <= 1
    assert scene.std() > 0.005


def test_still_life__is_a_picture() -> None:
    rng = np.random.default_rng(5)
    picture = np.asarray(still_life(draw_shot(rng, ""), rng, 64))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 5


@pytest.mark.parametrize("pattern", sorted({pattern for pattern, _ in PATTERN_WORDS}))
def test_pattern_mask__marks_some_of_the_skin_and_not_all(pattern: str) -> None:
    t, s = np.meshgrid(*[np.linspace(-1, 1, 101, dtype=np.float32)] * 2, indexing="ij")
    depth = np.minimum(1 - np.abs(s), 1 - np.abs(t))
    mask = pattern_mask(Marking(pattern, 4.0, 0.5), Skin(s, t, depth))
    assert mask.min() == 0
    assert mask.max() == 1
    assert 0.03 < mask.mean() < 0.85


def test_pattern_mask__bands_are_where_the_formula_says() -> None:
    # Two repeats over t in [-1, 1]: bands centred on t = -1, 0, 1, each covering half of its repeat.
    t = np.array([[0.0, 0.5, 1.0, -1.0]], np.float32)
    mask = pattern_mask(Marking("bands", 2.0, 0.5), Skin(np.zeros_like(t), t, np.ones_like(t)))
    np.testing.assert_array_equal(mask, [[1, 0, 1, 1]])


def test_invent_genera__no_two_alike_and_none_to_avoid() -> None:
    first = invent_genera(np.random.default_rng(0), 20)
    second = invent_genera(np.random.default_rng(1), 40, avoid=first)
    pairs = [(genus.kind, genus.palette) for genus in (*first, *second)]
    assert len(set(pairs)) == 60


def test_invent_genera__too_many() -> None:
    with pytest.raises(ValueError, match="are free"):
        invent_genera(np.random.default_rng(0), 1000)


def test_invent_species__names_are_unique_and_say_the_family() -> None:
    rng = np.random.default_rng(0)
    species = invent_species(rng, invent_genera(rng, 1, kinds=["beetle"])[0], len(PATTERN_WORDS))
    assert len({one.name for one in species}) == len(PATTERN_WORDS)
    assert all(one.name.endswith(f"_{one.genus.palette}_Beetle") for one in species)


def test_invent_species__too_many() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="markings"):
        invent_species(rng, invent_genera(rng, 1)[0], len(PATTERN_WORDS) + 1)


def test_training_species__none_is_in_a_demo() -> None:
    trained = {(one.genus.build, one.main) for one in invent_training_species(Recipe())}
    for seed in range(3):
        base, novel, strangers = invent_task(seed, 20, 6)
        assert not trained & {(one.genus.build, one.main) for one in (*base, *novel, *strangers)}
