"""The fast steps of a fit are the dense formulas: losses and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_fixtures import one_thread  # noqa: F401

from histoweave.sae import sparse, train
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.scaling import Scaling
from histoweave.sae.sparse import Pairs
from histoweave.sae.variants import VARIANTS
from histoweave.settings.sae import Sae

CPU = torch.device("cpu")


def dense(variant, dictionary, x, k):
    """Loss of a batch, written as the formula says, for autograd."""
    z = (x - dictionary.b_dec) @ dictionary.w_enc.T + dictionary.b_enc
    if variant == "topk":
        smallest = z.topk(k, dim=1).values[:, -1:]
    else:
        smallest = z.flatten().topk(k * len(x)).values[-1]
    f = torch.where((z >= smallest) & (z > 0), z, 0)
    ends = [2, 3, 6, 12, 24] if variant == "matryoshka" else [24]
    losses = [(x - f[:, :end] @ dictionary.w_dec[:end] - dictionary.b_dec).square().sum() / len(x) for end in ends]
    return torch.stack(losses).mean(), f


@pytest.mark.parametrize("variant", ["topk", "batchtopk", "matryoshka"])
@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 40), k=st.integers(1, 24), seed=st.integers(0, 99))
def test_losses_and_gradients_are_those_of_the_dense_formula(variant, n, k, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator)
    dictionary = Dictionary.random(0.1 * torch.ones(8), 24, seed=seed)
    with torch.no_grad():
        dictionary.b_enc.add_(0.1 * torch.randn(24, generator=generator))
    scaled = Scaling(torch.zeros(8), scale=1.0, gamma=0.0, mean_length=1.0, n_tokens=n)
    loss, error, fired = VARIANTS[variant](Sae(variant=variant, k=k), scaled)(dictionary, x)
    expected, f = dense(variant, dictionary, x, k)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fired, (f > 0).sum(dim=0))
    torch.testing.assert_close(error, (x - f @ dictionary.w_dec - dictionary.b_dec).detach(), rtol=1e-4, atol=1e-5)
    ours = torch.autograd.grad(loss, dictionary.weights())
    for one, other in zip(ours, torch.autograd.grad(expected, dictionary.weights()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_gradients_of_the_pairs_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(0)
    row, latent = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([3, 1, 0, 1, 3])
    pairs = Pairs.of(row, latent, n_rows=4, n_latents=5)
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    w_enc, w_dec = (torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    b_enc = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    b_dec = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)

    def rebuilt(w_enc, b_enc, b_dec, w_dec):
        centred = (x - b_dec).detach()
        z = ((x - b_dec)[row] * w_enc[latent]).sum(dim=1).detach() + b_enc[latent].detach()
        return sparse.decode(sparse.encode(z, pairs, centred, w_enc, b_enc, b_dec), pairs, w_dec) + b_dec

    assert torch.autograd.gradcheck(rebuilt, (w_enc, b_enc, b_dec, w_dec))


def test_no_active_pair_at_all_is_the_mean():
    dictionary = Dictionary.random(torch.zeros(4), 8, seed=0)
    with torch.no_grad():
        dictionary.b_enc.sub_(100)
    scaled = Scaling(torch.zeros(4), scale=1.0, gamma=0.0, mean_length=1.0, n_tokens=3)
    for name, variant in VARIANTS.items():
        loss, error, fired = variant(Sae(variant=name, k=2), scaled)(dictionary, torch.ones(3, 4))
        loss.backward()
        assert loss.item() == pytest.approx(4)
        assert fired.sum() == 0
        assert (error == 1).all()


def test_a_batch_in_parts_has_the_gradients_of_the_whole(monkeypatch):
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    scaled = Scaling(torch.zeros(8), scale=1.0, gamma=0.0, mean_length=1.0, n_tokens=50)
    gradients = []
    for limit in (1 << 20, 24 * 7):
        monkeypatch.setattr(train, "_MAX_PREACTIVATIONS", limit)
        dictionary = Dictionary.random(torch.zeros(8), 24, seed=0)
        variant = VARIANTS["topk"](Sae(k=3), scaled)
        seen = train._gather_gradients(dictionary, variant, x, dead=torch.tensor([2, 5]), aux_weight=0.1)
        assert seen.tokens == 50
        gradients.append([weight.grad for weight in dictionary.weights()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)
