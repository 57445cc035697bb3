"""A cohort through a dictionary: against dense arithmetic, however the tokens are cut into batches."""

import h5py
import numpy as np
import pytest
import torch

from histoweave.concepts import encode_images as module
from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.encode_images import encode_images, patch_maps
from histoweave.errors import InputError
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Block, Tokens

CPU = torch.device("cpu")
LENGTHS = [7, 1, 1, 30, 4]
DIM, LATENTS = 6, 20


def autoencoder(architecture, **extra):
    generator = torch.Generator().manual_seed(3)
    more = {"k": 3} if architecture == "topk" else {}
    if architecture == "jumprelu":
        more = {"threshold": torch.full((LATENTS,), 0.8)}
    return SparseAutoencoder(
        architecture=architecture,
        w_enc=torch.randn(DIM, LATENTS, generator=generator),
        b_enc=torch.randn(LATENTS, generator=generator) - 1,
        w_dec=torch.randn(LATENTS, DIM, generator=generator),
        b_dec=torch.randn(DIM, generator=generator),
        **more,
        **extra,
    )


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tokens") / "cells.h5")
    values = np.random.default_rng(1).normal(size=(sum(LENGTHS), DIM)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["tokens"] = values
    stops = np.cumsum(LENGTHS)
    return Tokens(
        Block(f"cell{row}", path, "tokens", int(stop - n), int(stop))
        for row, (n, stop) in enumerate(zip(LENGTHS, stops, strict=True))
    ), np.split(values, stops[:-1])


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
@pytest.mark.parametrize("at_once", [1 << 26, 10 * LATENTS, 3 * LATENTS, 1])
def test_equals_dense_arithmetic(tokens, architecture, at_once, monkeypatch):
    monkeypatch.setattr(module, "_MAX_VALUES", at_once)
    cells, parts = tokens
    mean = torch.full((DIM,), 0.3)
    sae = autoencoder(architecture, training_mean=mean)
    found = encode_images(sae, cells, token_threshold=0.9, device=CPU)
    assert found.images == [f"cell{row}" for row in range(len(LENGTHS))]
    assert found.mean.dtype == found.peak.dtype == found.count.dtype == np.float32
    for row, x in enumerate(map(torch.from_numpy, parts)):
        f = sae.encode(x).numpy()
        np.testing.assert_allclose(found.mean[row].toarray()[0], f.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(found.peak[row].toarray()[0], f.max(axis=0), atol=1e-6)
        np.testing.assert_array_equal(found.count[row].toarray()[0], (f > 0.9).sum(axis=0))
        np.testing.assert_array_equal(found.mean[row].indices, np.flatnonzero(f.max(axis=0)))
        assert found.n_active[row] == (f > 0).sum()
        rebuilt = sae.decode(sae.encode(x))
        assert found.error[row] == pytest.approx(float((x - rebuilt).square().sum()), rel=1e-5)
        assert found.deviation[row] == pytest.approx(float((x - mean).square().sum()), rel=1e-5)
    assert found.n_tokens.tolist() == LENGTHS
    assert found.l0 == found.n_active.sum() / sum(LENGTHS)
    assert found.explained_variance == pytest.approx(1 - found.error.sum() / found.deviation.sum())


def test_without_a_training_mean_the_decoder_bias_is_the_baseline(tokens):
    cells, parts = tokens
    sae = autoencoder("standard")
    found = encode_images(sae, cells, token_threshold=0.2, device=CPU)
    expected = (torch.from_numpy(parts[0]) - sae.b_dec).square().sum()
    assert found.deviation[0] == pytest.approx(float(expected), rel=1e-5)


def test_the_three_matrices_share_places_so_count_holds_explicit_zeros(tokens):
    found = encode_images(autoencoder("standard"), tokens[0], token_threshold=1e6, device=CPU)
    assert found.count.nnz == found.mean.nnz > 0
    assert not found.count.data.any()
    assert (found.mean.data > 0).all()


def test_saved_and_loaded_the_same_and_equal_bytes(tokens, tmp_path):
    found = encode_images(autoencoder("topk"), tokens[0], token_threshold=0.2, device=CPU)
    for name in ("one.h5", "two.h5"):
        found.save(tmp_path / name)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    loaded = ImageActivations.load(tmp_path / "one.h5")
    assert loaded.images == found.images
    assert loaded.attributes == {"token_threshold": 0.2}
    assert loaded.n_latents == LATENTS
    for name in ("mean", "peak", "count"):
        one, other = getattr(found, name), getattr(loaded, name)
        np.testing.assert_array_equal(one.toarray(), other.toarray())
        np.testing.assert_array_equal(one.indices, other.indices)
    for name in ("n_tokens", "n_active", "error", "deviation"):
        np.testing.assert_array_equal(getattr(found, name), getattr(loaded, name))


def test_no_images_are_no_rows(tmp_path):
    found = encode_images(autoencoder("topk"), Tokens([]), token_threshold=0.2, device=CPU)
    found.save(tmp_path / "found.h5")
    loaded = ImageActivations.load(tmp_path / "found.h5")
    assert loaded.images == []
    assert loaded.mean.shape == (0, LATENTS)


def test_rows_by_id(tokens):
    found = encode_images(autoencoder("topk"), tokens[0], token_threshold=0.2, device=CPU)
    assert found.rows(["cell3", "cell0"]).tolist() == [3, 0]
    with pytest.raises(KeyError):
        found.rows(["nobody"])


def test_tokens_of_another_length_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["tokens"] = np.zeros((2, DIM + 1), dtype=np.float32)
    other = Tokens([Block("a", str(tmp_path / "other.h5"), "tokens", 0, 2)])
    with pytest.raises(InputError, match=r"tokens of cohort b: tokens of 7 values do not fit"):
        encode_images(autoencoder("topk"), other, token_threshold=0.2, device=CPU, what="tokens of cohort b")


@pytest.mark.parametrize("at_once", [1 << 26, 3 * LATENTS])
def test_patch_maps_are_activations_of_single_tokens(tokens, at_once, monkeypatch):
    monkeypatch.setattr(module, "_MAX_VALUES", at_once)
    cells, parts = tokens
    sae = autoencoder("topk")
    maps = patch_maps(sae, cells, {"cell3": [5, 2, 5], "cell0": [0]})
    assert set(maps) == {("cell3", 5), ("cell3", 2), ("cell0", 0)}
    for (image, latent), values in maps.items():
        expected = sae.encode(torch.from_numpy(parts[int(image[-1])]))[:, latent]
        np.testing.assert_allclose(values, expected.numpy(), atol=1e-6)
