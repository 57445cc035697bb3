"""Representations: each is what it says, and none of them sees a test image in fitting."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from score_data import CPU, LATENTS, TOKENS, cohort_of, data_of, dictionary, images_table, roles, write_shard
from sklearn.decomposition import PCA

from histoweave.concepts import representations
from histoweave.concepts.cohort_data import with_dictionary
from histoweave.concepts.representations import (
    REPRESENTATIONS,
    Choice,
    active_per_token,
    fit_all,
    pooled,
    random_dictionary,
)  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return images_table(80, patients=20)


@pytest.fixture(scope="module")
def shard(images, tmp_path_factory):
    return write_shard(tmp_path_factory.mktemp("shard") / "0.h5", images)


@pytest.fixture(scope="module")
def data(images, shard):
    return data_of(cohort_of(shard, images))


@pytest.fixture(scope="module")
def tokens(shard):
    with h5py.File(shard) as file:
        return file["tokens"][:].reshape(-1, TOKENS, file["tokens"].shape[1])


def vectors(data, name, train, **choice):
    matrix = dict(fit_all(data, train, Choice(**choice), names=[name]))[name](data)
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


TRAIN = np.arange(20, 80)


@pytest.mark.parametrize(
    "pooling, pool",
    [("mean", lambda f: f.mean(1)), ("max", lambda f: f.max(1)), ("count", lambda f: (f > 0.2).sum(1))],
)
def test_concepts_are_pooled_activations(data, tokens, pooling, pool):
    f = dictionary().encode(torch.from_numpy(tokens.reshape(-1, tokens.shape[2]))).numpy()
    expected = pool(f.reshape(len(tokens), TOKENS, LATENTS))
    np.testing.assert_allclose(vectors(data, "concepts", TRAIN, pooling=pooling), expected, atol=1e-5)
    kept = np.delete(expected, [3, 7], axis=1)
    np.testing.assert_allclose(vectors(data, "concepts", TRAIN, pooling=pooling, left_out=(7, 3)), kept, atol=1e-5)


def test_counts_of_zero_are_not_stored(data):
    assert (pooled(data.concepts, "count").data > 0).all()
    assert (data.concepts.count.data == 0).any()  # and the cohort's own matrix is left as it was


def test_raw_and_embedding(data, tokens):
    np.testing.assert_allclose(vectors(data, "raw", TRAIN), tokens.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(vectors(data, "embedding", TRAIN), tokens.max(axis=1), atol=1e-6)
    without = dataclasses.replace(data, features=None)
    assert "embedding" not in dict(fit_all(without, TRAIN, Choice()))


def test_pca_is_scikit_learns_on_the_training_rows(data):
    rows = data.means[TRAIN].astype(np.float64)
    reference = PCA(svd_solver="full").fit(rows)
    full, small = vectors(data, "pca", TRAIN), vectors(data, "pca_small", TRAIN)
    assert full.shape[1] == 24  # all of the dimensions: more concepts are alive
    assert small.shape[1] == active_per_token(data.concepts, TRAIN) == 4
    expected = np.abs(reference.transform(data.means))
    np.testing.assert_allclose(np.abs(full), expected, atol=1e-5)
    np.testing.assert_allclose(np.abs(small), expected[:, :4], atol=1e-5)


def test_kmeans_is_the_histogram_of_nearest_centres(data, tokens):
    representation = dict(fit_all(data, TRAIN, Choice(seed=3), names=["kmeans"]))["kmeans"]
    centres = representation.fitted["centres"]
    assert len(centres) == LATENTS
    nearest = cdist(tokens.reshape(-1, tokens.shape[2]), centres).argmin(axis=1).reshape(len(tokens), TOKENS)
    expected = np.stack([np.bincount(row, minlength=len(centres)) for row in nearest]) / TOKENS
    np.testing.assert_allclose(representation(data), expected, atol=1e-6)


def test_kmeans_reads_a_bounded_sample(data, monkeypatch):
    monkeypatch.setattr(representations, "_KMEANS_TOKENS", 90)
    monkeypatch.setattr(representations, "_KMEANS_IMAGES", 30)
    images = [block.image for block in data.tokens.blocks]
    assert len(representations._sample_tokens(data.tokens, images, np.random.default_rng(0))) == 90
    assert len(dict(fit_all(data, TRAIN, Choice(), names=["kmeans"]))["kmeans"].fitted["centres"]) == 9


def test_the_random_twin(data, tokens):
    sae = dataclasses.replace(dictionary(), training_mean=torch.arange(24.0))
    twin = random_dictionary(sae, active=5, seed=1)
    assert twin.n_latents == sae.n_latents and twin.k == 5
    torch.testing.assert_close(twin.w_dec.norm(dim=1), torch.ones(LATENTS))
    x = torch.from_numpy(tokens[0])
    z = ((x - torch.arange(24.0)) @ twin.w_dec.T).clamp(min=0)
    fired = twin.encode(x)
    assert ((fired > 0).sum(dim=1) <= 5).all()
    torch.testing.assert_close(fired.sum(dim=1), z.topk(5, dim=1).values.sum(dim=1))
    assert torch.equal(twin.w_dec, random_dictionary(sae, active=5, seed=1).w_dec)
    assert not torch.equal(twin.w_dec, random_dictionary(sae, active=5, seed=2).w_dec)


def test_nothing_fitted_sees_a_test_image(images, shard, data, tmp_path):
    """Garbage in place of the test images' tokens, embeddings and activations changes no bit of what is fitted."""
    is_train = roles(images)
    test = ~is_train[images["patient"]].to_numpy()
    spoilt = tmp_path / "spoilt.h5"
    spoilt.write_bytes(shard.read_bytes())
    with h5py.File(spoilt, "r+") as file:
        values = file["tokens"][:].reshape(len(images), TOKENS, -1)
        values[test] = np.random.default_rng(0).choice([-1e3, 1e3], values[test].shape)
        file["tokens"][...] = values.reshape(-1, values.shape[2])
        file["features"][...] = values.max(axis=1)
    cohort = cohort_of(spoilt, images)
    other = data_of(cohort)
    train = np.flatnonzero(~test)
    assert active_per_token(data.concepts, train) == active_per_token(other.concepts, train)
    intact, garbage = (dict(fit_all(d, train, Choice(seed=5))) for d in (data, other))
    assert set(intact) == set(REPRESENTATIONS)
    for name in REPRESENTATIONS:
        one, two = intact[name].fitted, garbage[name].fitted
        assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one), name
        a, b = (d[name](source) for d, source in ((intact, data), (garbage, other)))
        a, b = (m if isinstance(m, np.ndarray) else m.toarray() for m in (a, b))
        assert np.array_equal(a[train], b[train]) and not np.array_equal(a[test], b[test]), name


def test_a_cohort_without_spread_or_with_two_training_images(images, shard):
    cohort = cohort_of(shard, images)
    same = dataclasses.replace(cohort, means=np.ones_like(cohort.means))
    flat = with_dictionary(
        same, data_of(cohort).concepts, dictionary(), active=4, token_threshold=0.2, seed=0, device=CPU
    )
    for train in (TRAIN, TRAIN[:2]):
        for name, representation in fit_all(flat, train, Choice()):
            matrix = representation(flat)
            values = matrix if isinstance(matrix, np.ndarray) else matrix.data
            assert np.isfinite(values).all(), name
