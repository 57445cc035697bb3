"""Parts of a fit agree with their definitions: auxiliary loss, optimiser, scaling, median, penalty; and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sae_fixtures import one_thread, oracle, shard  # noqa: F401
from scipy.optimize import minimize

from histoweave.errors import InputError
from histoweave.sae import scaling
from histoweave.sae.dead import Silence, revival_loss
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.median import geometric_median
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.optimiser import Optimiser, learning_rate_factor
from histoweave.sae.scaling import Scaling
from histoweave.sae.stream import Stream
from histoweave.sae.tokens import Tokens
from histoweave.sae.train import fit
from histoweave.sae.variants import VARIANTS
from histoweave.settings.sae import Sae

CPU = torch.device("cpu")


# Dead latents


def test_a_latent_is_dead_after_the_tokens_without_it():
    silence = Silence(3, limit=10, device=CPU)
    for _ in range(2):
        silence.add(torch.tensor([1, 0, 0]), 5)
    assert silence.dead().tolist() == []
    silence.add(torch.tensor([0, 7, 0]), 5)
    assert silence.dead().tolist() == [2]


def test_the_auxiliary_loss_is_that_of_the_formula_and_teaches_dead_latents_only():
    generator = torch.Generator().manual_seed(0)
    tokens, error = torch.randn(2, 30, 6, generator=generator)
    dictionary = Dictionary.random(torch.full((6,), 0.2), 12, seed=0)
    for dead in ([4], [1, 4, 7, 8, 11]):  # fewer and more than D/2
        for weight in dictionary.weights():
            weight.grad = None
        loss = revival_loss(dictionary, tokens, error, torch.tensor(dead))
        z = ((tokens - 0.2) @ dictionary.w_enc.T)[:, dead]
        if len(dead) > 3:
            z = torch.where(z >= z.topk(3, dim=1).values[:, -1:], z, 0)
        expected = (error - z @ dictionary.w_dec[dead]).square().sum() / 30 * min(1, len(dead) / 3)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert dictionary.b_dec.grad is None
        for weight in dictionary.weights()[:3]:
            moved = weight.grad.reshape(12, -1).abs().sum(dim=1) > 0
            assert moved.nonzero().squeeze(1).tolist() == dead


# Optimiser, scaling, median


def test_the_learning_rate_goes_up_stays_and_falls():
    chosen = Sae(warmup_steps=10, decay_share=0.2)
    factors = [learning_rate_factor(step, n_steps=200, settings=chosen) for step in range(200)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10:160] == [1.0] * 150
    assert factors[-1] == pytest.approx(1 / 40)
    short = [learning_rate_factor(step, n_steps=20, settings=chosen) for step in range(20)]
    assert short[2] == 1.0
    constant = Sae(warmup_steps=0, decay_share=0)
    assert {learning_rate_factor(step, n_steps=9, settings=constant) for step in range(9)} == {1.0}


def test_decoder_rows_keep_length_one_and_do_not_follow_gradients_along_themselves():
    dictionary = Dictionary.random(torch.zeros(6), 10, seed=0)
    before = dictionary.w_dec.detach().clone()
    optimiser = Optimiser(dictionary, Sae(), n_steps=10)
    (3 * dictionary.w_dec * before).sum().backward()
    for weight in dictionary.weights():
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    optimiser.step()
    torch.testing.assert_close(dictionary.w_dec.detach().norm(dim=1), torch.ones(10))
    assert optimiser.learning_rate > 0


def test_scaling_agrees_with_the_definition_even_far_from_the_origin(tmp_path):
    values = np.random.default_rng(0).normal(1000, 2, (20_001, 5)).astype(np.float32)
    values[:, 1] *= 0.001
    found = scaling.measure(shard(tmp_path / "a.h5", values), device=CPU)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-6)
    spread = np.sqrt(exact.var(axis=0).sum())
    assert found.scale == pytest.approx(np.sqrt(5) / spread, rel=1e-4)
    assert found.gamma == pytest.approx(np.linalg.norm(exact.mean(axis=0)) / spread, rel=1e-4)
    assert found.mean_length == pytest.approx(np.linalg.norm(exact, axis=1).mean(), rel=1e-5)
    assert found.apply(torch.from_numpy(values)).square().sum(dim=1).mean().item() == pytest.approx(5, rel=1e-3)


def test_the_geometric_median_has_the_least_sum_of_distances_and_resists_outliers():
    points = np.random.default_rng(0).normal(size=(400, 3))
    points[:80] += 50
    found = geometric_median(torch.from_numpy(points)).numpy()
    exact = minimize(lambda at: np.linalg.norm(points - at, axis=1).sum(), found + 0.1, tol=1e-10).x
    np.testing.assert_allclose(found, exact, atol=1e-3)
    assert np.linalg.norm(points.mean(axis=0)) > 10 * np.linalg.norm(found)
    assert geometric_median(torch.ones(5, 2)).tolist() == [1, 1]


def test_l1_is_the_penalty_of_the_published_loss():
    """With tokens of equal length, the loss is the published one times a constant."""
    generator = torch.Generator().manual_seed(0)
    raw = torch.nn.functional.normalize(torch.randn(40, 6, generator=generator), dim=1) * 7
    mean = raw.mean(dim=0)
    scaled = Scaling(mean, scale=0.5, gamma=0.0, mean_length=7.0, n_tokens=40)
    dictionary = Dictionary.random(torch.zeros(6), 12, seed=1)
    losses = []
    for l1 in (0.0, 0.3, 2.0):
        ours = VARIANTS["standard"](Sae(variant="standard", l1=l1), scaled)(dictionary, scaled.apply(raw)).loss
        sae = SparseAutoencoder(architecture="standard", **dictionary.unscaled(scaled))
        f = sae.encode(raw)
        published = ((raw - sae.decode(f)) ** 2 / raw.norm(dim=1, keepdim=True)).mean() + l1 * f.sum(dim=1).mean()
        losses.append((ours / published).item())
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


# Bad input


def test_tokens_that_are_not_finite_are_named(tmp_path):
    values = oracle(300, 8, 8, active=2).tokens
    values[120, 3] = np.nan
    tokens = shard(tmp_path / "a.h5", values)
    with pytest.raises(InputError, match=r"a\.h5: the tokens of 'cell2' hold NaN"):
        fit(tokens, settings=Sae(), seed=0, device=CPU)
    with pytest.raises(InputError, match="cell2"):
        list(Stream(tokens, seed=0).batches(100, epochs=1))


def test_what_cannot_be_fitted_is_refused(tmp_path):
    with pytest.raises(InputError, match="0 tokens to fit on"):
        fit(Tokens([]), settings=Sae(), seed=0, device=CPU)
    same = shard(tmp_path / "same.h5", np.full((200, 8), 3.3, np.float32))
    with pytest.raises(InputError, match="all 200 tokens are the same"):
        fit(same, settings=Sae(), seed=0, device=CPU)
    with pytest.raises(InputError, match=r"sae\.k: 100 is more than the 64 latents"):
        fit(same, settings=Sae(k=100), seed=0, device=CPU)
