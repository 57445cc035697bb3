"""Files of sparse autoencoders: our own round trip, the layouts of other tools, and checkpoints that are pickled."""

import os
import pickle
import sys
import types
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_dictionaries import (
    ARCHITECTURES,
    assert_same,
    random_sae,
    random_tokens,
    refused,
    weights_of,
    write_saelens,
    write_sparsify,
)

from histoweave.errors import InputError
from histoweave.sae.format import FILES, load, sae_sha256, save


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Our own folders


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.sampled_from(ARCHITECTURES),
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 99),
    st.booleans(),
)
def test_what_is_saved_is_loaded_bit_by_bit(tmp_path_factory, architecture, dim, n_latents, k, seed, trained):
    sae = random_sae(architecture, dim=dim, n_latents=n_latents, k=min(k, n_latents), seed=seed, trained=trained)
    folder = tmp_path_factory.mktemp("sae")
    save(sae, folder)
    found = load(folder)
    for name, value in vars(sae).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(found, name), value), name
        else:
            assert getattr(found, name) == value, name
    assert sae_sha256(folder) == sae_sha256(sae) == sae_sha256(found)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_dictionaries_give_equal_bytes(tmp_path, architecture):
    for name in "ab":
        save(random_sae(architecture), tmp_path / name)
    save(load(tmp_path / "a"), tmp_path / "c")
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")
    assert set(contents(tmp_path / "a")) == set(FILES)


def test_views_and_transposes_are_saved_like_any_weights(tmp_path):
    sae = random_sae()
    tied = replace(sae, w_enc=sae.w_dec.T)
    save(tied, tmp_path)
    assert_same(tied, load(tmp_path), random_tokens())


def test_the_hash_sees_every_part():
    sae = random_sae("jumprelu")
    variants = [sae, random_sae("topk"), random_sae("topk", k=5), random_sae("standard")]
    for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold", "training_mean", "firing"):
        value = getattr(sae, name).clone()
        value.view(-1)[-1] += 1e-3
        variants.append(replace(sae, **{name: value}))
    assert len({sae_sha256(variant) for variant in variants}) == len(variants)
    assert sae_sha256(sae) == sae_sha256(replace(sae, metadata={"said": "otherwise"}))


def test_a_folder_that_is_written_over_is_unfinished_until_its_last_file(tmp_path, monkeypatch):
    save(random_sae(seed=1), tmp_path)
    monkeypatch.setattr("histoweave.sae.format._write_tensors", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(random_sae(seed=2), tmp_path)
    refused(tmp_path, "cfg.json", "does not exist")


def test_weights_that_diverged_are_not_saved(tmp_path):
    sae = random_sae()
    with pytest.raises(InputError, match=r"'W_dec' holds NaN or infinity"):
        save(replace(sae, w_dec=sae.w_dec * torch.nan), tmp_path)
    with pytest.raises(InputError, match=r"'firing' has shape"):
        save(replace(sae, firing=sae.firing[:3]), tmp_path)
    assert not list(tmp_path.iterdir())


# Folders of other tools, written by hand


def test_the_least_that_a_saelens_folder_has(tmp_path):
    sae = random_sae(trained=False)
    folder = write_saelens(tmp_path, weights_of(sae), architecture="topk", d_in=6, d_sae=20, k=4, dtype="float32")
    found = load(folder)
    assert_same(sae, found, random_tokens())
    assert (found.training_mean, found.firing, found.metadata) == (None, None, {})


def test_topk_by_its_old_name_and_an_unused_factor(tmp_path):
    sae = random_sae(trained=False)
    config = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}, "finetuning_scaling_factor": False}
    folder = write_saelens(tmp_path, weights_of(sae) | {"scaling_factor": torch.ones(20)}, **config)
    assert_same(sae, load(folder), random_tokens())
    write_saelens(tmp_path, weights_of(sae) | {"scaling_factor": torch.full((20,), 2.0)}, **config)
    refused(tmp_path, "scaling_factor")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_decoder_bias_that_is_not_taken_off_is_folded(tmp_path, architecture):
    sae, x = random_sae(architecture), random_tokens()
    folder = write_saelens(tmp_path, weights_of(sae), architecture=architecture, k=4, apply_b_dec_to_input=False)
    uncentred = replace(sae, b_enc=sae.b_enc + sae.b_dec @ sae.w_enc)
    assert torch.allclose(uncentred.encode(x), load(folder).encode(x), atol=1e-5)
    z = x @ sae.w_enc + sae.b_enc
    expected = torch.where(z > (sae.threshold if architecture == "jumprelu" else 0), z, 0).relu()
    kept = load(folder).encode(x) > 0
    assert torch.allclose(load(folder).encode(x)[kept], expected[kept], atol=1e-4)


def test_choice_by_decoder_length_is_folded(tmp_path):
    sae, x = random_sae(), random_tokens()
    sae.w_dec[3] = 0  # a latent without direction is none
    config = {"architecture": "topk", "k": 4, "rescale_acts_by_decoder_norm": True}
    found = load(write_saelens(tmp_path, weights_of(sae), **config))
    z = (((x - sae.b_dec) @ sae.w_enc + sae.b_enc) * sae.w_dec.norm(dim=1)).relu()
    least = z.topk(4, dim=1).values[:, -1:]
    expected = torch.where(z >= least, z, 0)
    assert torch.allclose(found.encode(x), expected, atol=1e-4)
    units = torch.nn.functional.normalize(sae.w_dec, dim=1)
    assert torch.allclose(found.decode(expected), expected @ units + sae.b_dec, atol=1e-3)


def test_half_precision_is_read_as_float32(tmp_path):
    sae = random_sae("standard")
    folder = write_saelens(tmp_path, {name: value.half() for name, value in weights_of(sae).items()}, dtype="float16")
    found = load(folder)
    assert found.w_enc.dtype == torch.float32
    assert torch.equal(found.w_enc, sae.w_enc.half().float())


def test_sparsify_by_hand(tmp_path):
    sae = random_sae(trained=False)
    found = load(write_sparsify(tmp_path, sae))
    assert_same(sae, found, random_tokens())
    assert found.metadata["expansion_factor"] == 32
    assert_same(sae, load(write_sparsify(tmp_path, sae, num_latents=0)), random_tokens())


@pytest.mark.parametrize("setting", [{"activation": "groupmax"}, {"transcode": True}, {"skip_connection": True}])
def test_what_sparsify_has_and_we_do_not(tmp_path, setting):
    write_sparsify(tmp_path, random_sae(), **setting)
    refused(tmp_path, *setting, "cannot be applied")


# Checkpoints


def pickled_settings(**values):
    """An object of the class that the published code pickles, whose module is not there any more afterwards."""
    names = ("src", "src.sae_training", "src.sae_training.config")
    sys.modules |= {name: types.ModuleType(name) for name in names}
    settings_class = type("ViTSAERunnerConfig", (), {"__module__": names[-1]})
    sys.modules[names[-1]].ViTSAERunnerConfig = settings_class
    found = settings_class()
    vars(found).update(values)
    return found, lambda: [sys.modules.pop(name) for name in names]


def test_a_checkpoint_with_its_settings(tmp_path):
    sae = random_sae("standard", trained=False)
    values = {
        "d_in": 6,
        "gated_sae": False,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "loss": float("nan"),
    }
    content, forget = pickled_settings(**values)
    torch.save({"cfg": content, "state_dict": weights_of(sae)}, tmp_path / "sae.pt")
    forget()
    found = load(tmp_path / "sae.pt")
    assert_same(sae, found, random_tokens())
    assert found.metadata == {"d_in": 6, "gated_sae": False}
    save(found, tmp_path / "again")
    assert sae_sha256(tmp_path / "again") == sae_sha256(sae)


def test_a_checkpoint_of_tensors_and_plain_values(tmp_path):
    sae = random_sae("standard", trained=False)
    torch.save({"config": {"l1_coefficient": 8e-5}, "state_dict": weights_of(sae)}, tmp_path / "sae.pt")
    assert_same(sae, load(tmp_path / "sae.pt"), random_tokens())


class Touch:
    """What an attacker pickles."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_not_run(tmp_path):
    weights = weights_of(random_sae("standard"))
    path, trace = tmp_path / "sae.pt", tmp_path / "trace"
    for key in ("cfg", "state_dict"):
        torch.save({"cfg": {}, "state_dict": weights} | {key: Touch(trace)}, path)
        refused(path, "posix.mkdir", "could run code", "torch.save")
    path.write_bytes(pickle.dumps({"state_dict": Touch(trace)}, protocol=2))
    refused(path, "could run code")
    for name in ("sae_weights.safetensors", "sae.safetensors"):
        folder = tmp_path / name.split(".")[0]
        write_saelens(folder, weights, architecture="standard")
        (folder / name).write_bytes(path.read_bytes())
        with pytest.raises(InputError, match="not a whole safetensors file"):
            load(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([1, 2], "no 'state_dict'"),
        ({"state_dict": [1]}, "no 'state_dict'"),
        ({"state_dict": {"W_enc": torch.ones(2, 2)}}, "missing"),
        ({"state_dict": weights_of(random_sae("standard")) | {"r_mag": torch.ones(20)}}, "'r_mag'"),
        ({"state_dict": weights_of(random_sae("standard")), "cfg": {"gated_sae": True}}, "gated_sae"),
        ({"state_dict": weights_of(random_sae("standard")), "cfg": 3}, "settings"),
        ({"state_dict": weights_of(random_sae("standard")) | {"b_dec": 3.0}}, "'b_dec'"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content, word):
    torch.save(content, tmp_path / "sae.pt")
    refused(tmp_path / "sae.pt", word)
