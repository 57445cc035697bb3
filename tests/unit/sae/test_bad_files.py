"""What can be wrong with a folder of a sparse autoencoder, from its settings to torn bytes: refused in one line."""

import json

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_dictionaries import random_sae, random_tokens, refused, weights_of, write_saelens

from histoweave.errors import InputError
from histoweave.sae.format import load, save


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architecture": "gated"}, ["'gated'"]),
        ({"architecture": "batchtopk", "k": 3}, ["'batchtopk'"]),
        ({"architecture": ["topk"], "k": 3}, ["cannot be applied"]),
        ({"activation_fn": "tanh-relu"}, ["'tanh-relu'"]),
        ({"normalize_activations": "layer_norm"}, ["normalize_activations", "fold"]),
        ({"normalize_activations": "expected_average_only_in"}, ["normalize_activations"]),
        ({"reshape_activations": "hook_z"}, ["reshape_activations"]),
        ({"architecture": "topk"}, ["k is None"]),
        ({"architecture": "topk", "k": 0}, ["k is 0"]),
        ({"architecture": "topk", "k": 21}, ["k is 21", "20"]),
        ({"architecture": "topk", "k": True}, ["k is True"]),
        ({"architecture": "topk", "k": "4"}, ["k is '4'"]),
        ({"activation_fn": "topk", "activation_fn_kwargs": 7}, ["k is None"]),
        ({"d_in": 768}, ["768", "6"]),
        ({"d_sae": 21}, ["21", "20"]),
        ({"architecture": "jumprelu"}, ["'threshold'"]),
    ],
)
def test_configurations_that_cannot_be_applied(tmp_path, config, words):
    write_saelens(tmp_path, weights_of(random_sae("standard")), **config)
    refused(tmp_path, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W_dec": torch.ones(6, 20)}, ["'W_dec'", "(6, 20)", "(20, 6)"]),
        ({"b_enc": torch.ones(6)}, ["'b_enc'"]),
        ({"b_dec": torch.ones(6, 1)}, ["'b_dec'"]),
        ({"W_enc": torch.ones(6)}, ["'W_enc'"]),
        ({"W_enc": torch.full((6, 20), torch.nan)}, ["'W_enc'", "NaN"]),
        ({"b_dec": torch.full((6,), torch.inf)}, ["'b_dec'", "NaN or infinity"]),
        ({"W_enc": torch.ones(6, 20, dtype=torch.int64)}, ["'W_enc'", "floating"]),
        ({"W_dec": None}, ["'W_dec'", "missing"]),
        ({"r_mag": torch.ones(20)}, ["'r_mag'"]),
        ({"threshold": torch.ones(20)}, ["'threshold'"]),
    ],
)
def test_weights_that_do_not_fit(tmp_path, change, words):
    tensors = {
        name: value for name, value in (weights_of(random_sae("standard")) | change).items() if value is not None
    }
    write_saelens(tmp_path, tensors, architecture="standard")
    refused(tmp_path, *words)


def test_what_is_known_of_the_training_has_to_fit_too(tmp_path):
    save(random_sae(), tmp_path)
    safetensors.torch.save_file({"firing": torch.ones(3)}, tmp_path / "training.safetensors")
    refused(tmp_path, "'firing'")
    safetensors.torch.save_file({"other": torch.ones(3)}, tmp_path / "training.safetensors")
    refused(tmp_path, "'other'")
    (tmp_path / "training.safetensors").unlink()
    assert load(tmp_path).firing is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\udcff", "[" * 100_000])
def test_a_configuration_that_is_not_one(tmp_path, text):
    save(random_sae(), tmp_path)
    (tmp_path / "cfg.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(tmp_path, "cfg.json")


def test_nothing_there(tmp_path):
    refused(tmp_path, "no sparse autoencoder")
    refused(tmp_path / "absent", "no sparse autoencoder")
    refused(tmp_path / "absent.pt", "no sparse autoencoder")
    save(random_sae(), tmp_path)
    refused(tmp_path / "sae_weights.safetensors", "name a folder")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(["cfg.json", "sae_weights.safetensors", "training.safetensors", "sae.pt"]), st.data())
def test_torn_and_changed_bytes_never_end_in_another_error(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("torn")
    sae = random_sae("standard")
    if name == "sae.pt":
        torch.save({"cfg": {}, "state_dict": weights_of(sae)}, folder / name)
    else:
        save(sae, folder)
    content = bytearray((folder / name).read_bytes())
    if data.draw(st.booleans(), "cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1), "length")]
    else:
        content[data.draw(st.integers(0, len(content) - 1), "place")] ^= data.draw(st.integers(1, 255), "by")
    (folder / name).write_bytes(bytes(content))
    try:
        found = load(folder / name if name == "sae.pt" else folder)
    except InputError as error:
        assert "\n" not in str(error)
    else:  # one number among the weights, or a key of the metadata
        json.dumps(found.metadata)
        assert found.encode(random_tokens(found.dim)).isfinite().all()
