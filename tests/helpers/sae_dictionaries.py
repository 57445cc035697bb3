"""Random sparse autoencoders, and files of other tools written by hand from their public layouts."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from histoweave.errors import InputError
from histoweave.sae.format import load
from histoweave.sae.model import SparseAutoencoder

ARCHITECTURES = ("standard", "topk", "jumprelu")


def random_sae(architecture="topk", *, dim=6, n_latents=20, k=4, seed=0, trained=True, **values):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    sizes = {"w_enc": (dim, n_latents), "b_enc": (n_latents,), "w_dec": (n_latents, dim), "b_dec": (dim,)}
    parts = {name: draw(*shape) for name, shape in sizes.items()}
    if architecture == "topk":
        parts["k"] = k
    if architecture == "jumprelu":
        parts["threshold"] = draw(n_latents).abs()
    if trained:
        parts |= {"training_mean": draw(dim), "firing": torch.rand(n_latents, generator=generator)}
    return SparseAutoencoder(architecture=architecture, metadata={"seed": seed, "k": k}, **(parts | values))


def random_tokens(dim=6, n=200, seed=1):
    """Tokens with a common offset."""
    return torch.from_numpy(np.random.default_rng(seed).normal(1, 2, (n, dim)).astype(np.float32))


def weights_of(sae):
    """By the names that SAELens gives them."""
    names = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec, "threshold": sae.threshold}
    return {name: value.contiguous() for name, value in names.items() if value is not None}


def write_saelens(folder, tensors, **config):
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def write_sparsify(folder, sae, **config):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "encoder.weight": sae.w_enc.T.contiguous(), "encoder.bias": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec,
    }  # fmt: skip
    safetensors.torch.save_file(tensors, folder / "sae.safetensors")
    default = {
        "activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": sae.n_latents,
        "k": sae.k, "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": sae.dim,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(default | config))
    return folder


def assert_same(one, other, tokens, tolerance=0.0):
    """Both encode and decode alike."""
    activations = one.encode(tokens)
    assert (activations > 0).any()
    assert (activations - other.encode(tokens)).abs().max() <= tolerance
    assert (one.decode(activations) - other.decode(activations)).abs().max() <= tolerance


def refused(path, *words):
    """The one line that loading ends with, which has these words and the path in it."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (*words, str(path)):
        assert word in message
    return message
