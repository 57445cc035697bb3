"""Matching two dictionaries: the best pairs are found, weights and the null are what they say."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.concepts.sae_stability import stability
from histoweave.errors import InputError
from histoweave.sae.matching import match
from histoweave.sae.model import SparseAutoencoder


def dictionary(rows: np.ndarray, firing: np.ndarray | None = None) -> SparseAutoencoder:
    w_dec = torch.from_numpy(rows.astype(np.float32))
    return SparseAutoencoder(
        architecture="standard",
        w_enc=w_dec.T.contiguous(),
        b_enc=torch.zeros(len(rows)),
        w_dec=w_dec,
        b_dec=torch.zeros(rows.shape[1]),
        firing=None if firing is None else torch.from_numpy(firing.astype(np.float32)),
    )


def random_rows(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), dim=st.integers(1, 5), seed=st.integers(0, 99))
def test_no_other_assignment_is_better(n, dim, seed):
    one, other = random_rows(n, dim, seed), random_rows(n, dim, seed + 1000)
    cosine = unit(one) @ unit(other).T
    best = max(cosine[np.arange(n), list(order)].sum() for order in permutations(range(n)))
    found = match(dictionary(one), dictionary(other), seed=0)
    assert found.cosine.sum() == pytest.approx(best, abs=1e-5)
    np.testing.assert_allclose(found.cosine, cosine[found.one, found.other], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), dim=st.integers(1, 5), seed=st.integers(0, 99))
def test_no_other_assignment_has_a_higher_weighted_mean(n, dim, seed):
    rows = [random_rows(n, dim, seed), random_rows(n, dim, seed + 1000)]
    firing = np.random.default_rng(seed).uniform(0.01, 1, size=(2, n)).astype(np.float32)
    cosine, weight = unit(rows[0]) @ unit(rows[1]).T, firing[0][:, None] + firing[1]
    orders = [(np.arange(n), list(order)) for order in permutations(range(n))]
    best = max(np.average(cosine[order], weights=weight[order]) for order in orders)
    found = match(*map(dictionary, rows, firing), seed=0)
    assert best - 2e-3 <= found.weighted_mean <= best + 1e-5
    assert found.weighted_mean == pytest.approx(
        np.average(found.cosine, weights=weight[found.one, found.other]), abs=1e-5
    )


def test_a_spare_latent_does_not_take_the_partner_of_one_that_fires():
    """By cosines alone 0.8 + 0.8 beats 1 + 0.5: a concept that both dictionaries found would look lost."""
    angles = np.deg2rad([0, 36.87, -36.87])
    concept, spare, other_spare = np.column_stack([np.cos(angles), np.sin(angles)])
    firing = np.array([0.2, 0])
    found = match(
        dictionary(np.array([concept, spare]), firing), dictionary(np.array([concept, other_spare]), firing), seed=0
    )
    assert found.other[found.one.argmin()] == 0 and found.weighted_mean == pytest.approx(1, abs=1e-5)
    blind = match(dictionary(np.array([concept, spare])), dictionary(np.array([concept, other_spare])), seed=0)
    assert blind.other[blind.one.argmin()] == 1 and blind.mean == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("firing", [[0, 0], [1, 0]])
def test_without_a_firing_pair_there_is_no_weighted_mean(firing):
    """Of a smaller dictionary, which never fires, the partner may be a latent that never fires either."""
    one, other = np.array([[-1.0, 0], [1, 0]]), np.array([[1.0, 0]])
    found = match(dictionary(one, np.array(firing)), dictionary(other, np.zeros(1)), seed=0)
    assert found.mean == pytest.approx(1) and np.isnan(found.weighted_mean)


def test_a_shuffled_and_stretched_dictionary_is_the_same_one():
    rows, order = random_rows(30, 8), np.random.default_rng(1).permutation(30)
    found = match(dictionary(rows), dictionary(5 * rows[order]), seed=0)
    assert found.mean == pytest.approx(1, abs=1e-5)
    assert found.share == 1
    assert (order[found.other] == found.one).all()


def test_opposite_directions_are_different_concepts():
    rows = np.eye(4)
    assert match(dictionary(rows), dictionary(-rows), seed=0).mean == pytest.approx(0, abs=1e-6)


def test_the_weighted_mean_counts_a_pair_as_its_latents_fire():
    rows = np.eye(2, 3)
    tilted = np.array([[1, 0, 0], [0, 0.6, 0.8]])
    found = match(dictionary(rows, np.array([0.5, 0.1])), dictionary(tilted, np.array([0.3, 0.1])), seed=0)
    assert found.weighted_mean == pytest.approx((0.8 * 1 + 0.2 * 0.6) / 1.0)
    assert found.mean == pytest.approx(0.8)
    assert found.share == 0.5
    assert np.isnan(match(dictionary(rows), dictionary(tilted), seed=0).weighted_mean)


def test_the_null_is_what_random_dictionaries_reach_and_is_set_by_the_seed():
    one, other = dictionary(random_rows(128, 32)), dictionary(random_rows(128, 32, seed=1))
    first, again, another = (match(one, other, seed=seed) for seed in (0, 0, 1))
    assert first.null == again.null != another.null
    assert first.null == pytest.approx(first.mean, abs=0.02)  # these two are random themselves
    firing = np.geomspace(1, 1e-3, 128)
    weighted = match(dictionary(one.w_dec.numpy(), firing), dictionary(other.w_dec.numpy(), firing), seed=0)
    assert weighted.null == pytest.approx(weighted.weighted_mean, abs=0.05)
    assert weighted.null > weighted.mean + 0.02


def test_of_large_dictionaries_the_latents_that_fire_most_are_matched():
    rows = random_rows(40, 16)
    firing = np.random.default_rng(3).permutation(40) / 40
    found = match(dictionary(rows, firing), dictionary(rows, firing), seed=0, max_latents=10)
    assert sorted(found.one) == sorted(np.argsort(-firing)[:10])
    assert (found.n_latents, len(found.cosine)) == (40, 10)
    with pytest.raises(InputError, match="40 latents is too large"):
        match(dictionary(rows), dictionary(rows), seed=0, max_latents=10)


def test_dictionaries_of_different_sizes_match_as_far_as_the_smaller_goes():
    rows = random_rows(20, 8)
    found = match(dictionary(rows), dictionary(rows[5:12]), seed=0)
    assert found.one.tolist() == list(range(5, 12))
    assert found.n_latents == 7
    with pytest.raises(InputError, match="tokens of 8 values do not fit a sparse autoencoder of 4"):
        match(dictionary(rows), dictionary(rows[:, :4]), seed=0)


def test_a_latent_without_a_direction_is_like_none():
    rows = random_rows(5, 4)
    rows[2] = 0
    found = match(dictionary(rows), dictionary(rows), seed=0)
    assert found.cosine.sum() == pytest.approx(4, abs=1e-5)


def test_stability_compares_every_pair_once():
    saes = [dictionary(random_rows(12, 6, seed), np.full(12, 0.1)) for seed in range(3)]
    table, _ = stability(saes, seed=0)
    assert table[["one", "other"]].values.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert table["n_matched"].tolist() == [12, 12, 12]
    assert stability(saes[:1], seed=0)[0].empty
