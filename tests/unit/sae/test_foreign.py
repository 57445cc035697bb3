"""Files exchanged with SAELens and sparsify, the packages themselves. In CI they have to be there."""

import importlib
import importlib.util
import os
from dataclasses import replace

import pytest
import torch
from sae_dictionaries import ARCHITECTURES, assert_same, random_sae, random_tokens, weights_of, write_sparsify

from histoweave.sae.format import load, sae_sha256, save

DIM, LATENTS, K = 24, 96, 5
TOLERANCE = 1e-5


def package(name):
    if importlib.util.find_spec(name) is None and "CI" not in os.environ:
        pytest.skip(f"{name} is not installed")
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def sae_lens():
    return package("sae_lens")


@pytest.fixture(scope="module")
def sparsify():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSIFY_DISABLE_TRITON", "1")  # chosen when it is imported; Triton wants a GPU
        return package("sparsify")


def dictionary(architecture, **values):
    """Activations of size about 1, as the tolerance is absolute."""
    sae = random_sae(architecture, dim=DIM, n_latents=LATENTS, k=K, seed=3, **values)
    return replace(sae, w_enc=sae.w_enc / DIM, w_dec=torch.nn.functional.normalize(sae.w_dec, dim=1))


def saelens_dictionary(sae_lens, architecture, **config):
    names = {"standard": "StandardSAE", "topk": "TopKSAE", "jumprelu": "JumpReLUSAE"}
    made = getattr(sae_lens, f"{names[architecture]}Config")(d_in=DIM, d_sae=LATENTS, **config)
    theirs = getattr(sae_lens, names[architecture])(made)
    theirs.load_state_dict(weights_of(dictionary(architecture)))
    return theirs


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saelens_loads_ours_and_we_load_what_it_saves(tmp_path, sae_lens, architecture):
    ours, tokens = dictionary(architecture), random_tokens(DIM)
    save(ours, tmp_path / "ours")
    theirs = sae_lens.SAE.load_from_disk(tmp_path / "ours")
    assert theirs.cfg.architecture() == architecture
    with torch.no_grad():
        assert_same(ours, theirs, tokens, TOLERANCE)
    theirs.save_model(tmp_path / "theirs")
    found = load(tmp_path / "theirs")
    assert_same(ours, found, tokens)
    assert found.metadata == ours.metadata
    assert sae_sha256(found) == sae_sha256(replace(ours, training_mean=None, firing=None))


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("standard", {"apply_b_dec_to_input": False}),
        ("jumprelu", {"apply_b_dec_to_input": False}),
        ("topk", {"k": K, "apply_b_dec_to_input": False}),
        ("topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
    ],
)
def test_saelens_own_ways_are_folded(tmp_path, sae_lens, architecture, config):
    theirs, tokens = saelens_dictionary(sae_lens, architecture, **config), random_tokens(DIM)
    if config.get("rescale_acts_by_decoder_norm"):
        theirs.W_dec.data *= torch.linspace(0.5, 2, LATENTS)[:, None]
    theirs.save_model(tmp_path)
    with torch.no_grad():
        assert_same(load(tmp_path), theirs, tokens, TOLERANCE)


def test_a_dictionary_that_saelens_trained(tmp_path, sae_lens):
    """BatchTopK comes as JumpReLU from there."""
    config = sae_lens.BatchTopKTrainingSAEConfig(d_in=DIM, d_sae=LATENTS, k=K)
    trained = sae_lens.BatchTopKTrainingSAE(config)
    trained.topk_threshold.fill_(0.05)
    trained.save_inference_model(tmp_path)
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    found = load(tmp_path)
    assert found.architecture == "jumprelu"
    with torch.no_grad():
        assert_same(found, theirs, random_tokens(DIM), TOLERANCE)


def test_a_folder_written_by_hand_is_one_of_sparsify(tmp_path, sparsify):
    """Loaded and saved there, loaded here."""
    ours, tokens = dictionary("topk", trained=False), random_tokens(DIM)
    theirs = sparsify.SparseCoder.load_from_disk(write_sparsify(tmp_path / "ours", ours))
    assert dense(theirs, tokens, ours, TOLERANCE)
    theirs.save_to_disk(tmp_path / "theirs")
    found = load(tmp_path / "theirs")
    assert_same(ours, found, tokens)
    assert found.metadata["k"] == K


def test_a_new_dictionary_of_sparsify(tmp_path, sparsify):
    """Its decoder bias is taken off the tokens before they are encoded."""
    torch.manual_seed(0)
    theirs = sparsify.SparseCoder(DIM, sparsify.SparseCoderConfig(num_latents=LATENTS, k=K))
    theirs.b_dec.data += 2
    theirs.save_to_disk(tmp_path)
    assert dense(theirs, random_tokens(DIM), load(tmp_path), TOLERANCE)


@torch.no_grad()
def dense(theirs, tokens, ours, tolerance):
    """Whether a dictionary of sparsify, which gives activations and their places, encodes and decodes like ours."""
    values, places, _ = theirs.encode(tokens)
    found = torch.zeros(len(tokens), LATENTS).scatter_(1, places, values)
    expected = ours.encode(tokens)
    difference = (theirs.decode(values, places) - ours.decode(expected)).abs().max()
    return (found - expected).abs().max() <= tolerance and difference <= tolerance and bool((expected > 0).any())
