from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.similarity.episodes import endless_batches, epoch_batches


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    batch_size=st.integers(1, 20),
    categories=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80)
def test_epoch_batches__full_and_without_repetition(
    sizes: list[int], batch_size: int, categories: int, seed: int
) -> None:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    batches = list(epoch_batches(codes, batch_size, categories, np.random.default_rng(seed)))
    assert len(batches) == len(codes) // batch_size
    assert all(len(batch) == batch_size for batch in batches)
    drawn = [int(position) for batch in batches for position in batch]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(len(codes)))


@given(categories=st.integers(1, 6), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_epoch_batches__few_categories_while_they_last(categories: int, seed: int) -> None:
    codes = np.repeat(np.arange(6), 50)
    first = next(epoch_batches(codes, 40, categories, np.random.default_rng(seed)))
    assert len(set(codes[first])) <= categories  # 50 images each: none runs empty within 40


def test_epoch_batches__a_fresh_category_follows_when_all_chosen_run_empty() -> None:
    codes = np.repeat(np.arange(4), 3)
    (batch,) = epoch_batches(codes, 10, 1, np.random.default_rng(0))
    assert sorted(np.bincount(codes[batch], minlength=4).tolist()) == [1, 3, 3, 3]


def test_endless_batches__same_seed_same_batches() -> None:
    codes = np.repeat(np.arange(5), 7)
    first, second = (
        [batch.tolist() for batch in islice(endless_batches(codes, 8, 3, np.random.default_rng(4)), 20)] for _ in "ab"
    )
    assert first == second
    assert first != [b.tolist() for b in islice(endless_batches(codes, 8, 3, np.random.default_rng(5)), 20)]


def test_endless_batches__refuses_more_images_than_there_are() -> None:
    with pytest.raises(ValueError, match="4 images cannot be drawn from 3"):
        next(endless_batches(np.zeros(3, dtype=np.int64), 4, 1, np.random.default_rng(0)))


def test_epoch_batches__positive_share_is_near_its_expectation() -> None:
    """With K categories and M images about 1/K + (1 - 1/K)/M of the ordered pairs are similar (A.2.3)."""
    codes = np.repeat(np.arange(40), 60)
    batches = epoch_batches(codes, 50, 20, np.random.default_rng(0))
    shares = [(codes[batch][:, None] == codes[batch][None, :]).mean() for batch in islice(batches, 20)]
    assert np.mean(shares) == pytest.approx(1 / 20 + (1 - 1 / 20) / 50, rel=0.1)
