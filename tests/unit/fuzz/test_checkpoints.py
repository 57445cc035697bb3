"""Weights from elsewhere: encoders, sparse autoencoders of three tools; damaged, hostile, or of something else."""

import functools
import json
import tracemalloc
import zipfile

import pytest
import safetensors.torch
import timm
import torch
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st
from sae_dictionaries import random_sae, random_tokens, weights_of, write_saelens, write_sparsify

from histoweave.encoders import loading
from histoweave.sae.format import load, save
from histoweave.settings.encoder import Encoder

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132735\n"
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5),
    st.lists(st.integers(-1, 3), max_size=3), st.just({}), st.just({"k": 3}),
)  # fmt: skip


def refused(path, words):
    said = answer(lambda: load(path))
    assert isinstance(said, str) and words in said and str(path) in said
    return said


def pickled(path, **tensors):
    torch.save({"cfg": {}, "state_dict": weights_of(random_sae("standard")) | tensors}, path)
    return path


@functools.cache
def small_network():
    return timm.create_model("test_vit", num_classes=0)


def usable(sae):
    """What is taken can be applied, and written again."""
    assert sae.encode(random_tokens(sae.dim)).isfinite().all()
    json.dumps(dict(sae.metadata), allow_nan=False)


# ------------------------------------------------------------ files that are something else


@pytest.mark.parametrize("data", [POINTER, b"", b"no weights", b"\x00" * 64, b"\xff" * 9, b"[]"])
def test_files_that_are_something_else(tmp_path, data):
    words = "Git LFS pointer" if data == POINTER else ""
    (tmp_path / "sae.pt").write_bytes(data)
    refused(tmp_path / "sae.pt", words)
    for number, name in enumerate(("cfg.json", "sae_weights.safetensors", "training.safetensors")):
        folder = tmp_path / str(number)
        save(random_sae(), folder)
        (folder / name).write_bytes(data)
        said = answer(lambda f=folder: load(f))
        assert isinstance(said, str) and words in said and name in said
    write_sparsify(tmp_path / "sparsify", random_sae())
    (tmp_path / "sparsify" / "sae.safetensors").write_bytes(data)
    assert words in answer(lambda: load(tmp_path / "sparsify"))
    for name in ("w.safetensors", "w.pth"):
        (tmp_path / name).write_bytes(data)
        said = answer(lambda n=name: loading._with_local_weights(small_network(), tmp_path / n))
        assert isinstance(said, str) and words in said and name in said


@pytest.mark.parametrize(
    ("start", "words"),
    [(2**63, "no header"), (2**33, "no header"), (10**9, "no header"), (0, "safetensors"), (7, "safetensors")],
)
def test_headers_that_state_any_size(tmp_path, start, words):
    save(random_sae(), tmp_path)
    path = tmp_path / "sae_weights.safetensors"
    path.write_bytes(start.to_bytes(8, "little") + path.read_bytes()[8:])
    assert words in answer(lambda: load(tmp_path))


@pytest.mark.parametrize(
    "header",
    [
        {"W_enc": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}},
        {"W_enc": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 2**60]}},
        {"W_enc": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 16]}},
        {"W_enc": {"dtype": "X", "shape": [2, 2], "data_offsets": [0, 16]}},
        {"W_enc": {}},
        [],
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}},
    ],
)  # fmt: skip
def test_headers_that_contradict_the_file(tmp_path, header):
    save(random_sae(), tmp_path)
    text = json.dumps(header).encode()
    (tmp_path / "sae_weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    assert "not a whole safetensors file" in answer(lambda: load(tmp_path))


# ------------------------------------------------------------ tensors that are none


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(10**7, 10**5),
        torch.ones(1, 1).expand(6, 20),
        torch.ones(6, 20).to_sparse(),
        torch.ones(6, 20, device="meta"),
        torch.ones(6, 20, dtype=torch.complex64),
        torch.ones(6, 20, dtype=torch.int8),
        torch.ones(0, 20),
        torch.full((6, 20), 1e30),
        torch.full((6, 20), 1e300, dtype=torch.float64),
        3,
        None,
        [[1.0] * 20] * 6,
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}-{getattr(value, 'layout', '')}",
)
def test_tensors_of_unusual_kinds(tmp_path, tensor):
    refused(pickled(tmp_path / "sae.pt", W_enc=tensor), "'W_enc'")
    refused(pickled(tmp_path / "sae.pt", b_enc=tensor), "'b_enc'")


@pytest.mark.parametrize(
    "content",
    [
        None, [], 3, "x", {}, {"state_dict": 3}, {"state_dict": {}}, {"state_dict": {3: torch.ones(2)}},
        {"state_dict": {"W_enc": 1}, "cfg": 7}, torch.ones(3), {"state_dict": {"x" * 10_000: torch.ones(1)}},
    ],
    ids=range(11),
)  # fmt: skip
def test_pickles_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "sae.pt")
    refused(tmp_path / "sae.pt", "")
    torch.save(content, tmp_path / "w.pth")
    said = answer(lambda: loading._with_local_weights(small_network(), tmp_path / "w.pth"))
    assert isinstance(said, str) and "no training checkpoint of DINOv2" in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation_fn": "topk", "k": 4}, "'topk'"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}, "'topk'"),
        ({"activation_fn": "tanh-relu"}, "'tanh-relu'"),
        ({"activation_fn": torch.ones(3)}, "activations are of"),
        ({"architecture": "jumprelu"}, "'jumprelu'"),
        ({"normalize_activations": "expected_average_only_in"}, "normalize_activations"),
        ({"normalize_activations": torch.ones(3)}, "normalize_activations"),
        ({"reshape_activations": "hook_z"}, "reshape_activations"),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor"),
        ({"gated_sae": True}, "gated_sae"),
        ({"apply_b_dec_to_input": "false"}, "must be true or false"),
        ({"d_in": 99}, "99 by the configuration"),
        ({"d_sae": torch.ones(3)}, "by the configuration"),
    ],
)
def test_settings_of_a_checkpoint_that_change_activations(tmp_path, settings, words):
    tensors = weights_of(random_sae("standard"))
    for name in ("cfg", "config"):
        torch.save({name: settings, "state_dict": tensors}, tmp_path / "sae.pt")
        assert words in refused(tmp_path / "sae.pt", "sae.pt")
    torch.save({"cfg": {}, "config": settings, "state_dict": tensors}, tmp_path / "sae.pt")
    refused(tmp_path / "sae.pt", "both as 'cfg' and as 'config'")


def test_a_checkpoint_without_its_decoders_bias_in_the_input(tmp_path):
    sae = random_sae("standard")
    weights = {name: value for name, value in weights_of(sae).items() if name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    torch.save({"cfg": {"apply_b_dec_to_input": False}, "state_dict": weights}, tmp_path / "SAE.PT")
    tokens = random_tokens(sae.dim)
    expected = torch.relu(tokens @ weights["W_enc"] + weights["b_enc"])
    torch.testing.assert_close(load(tmp_path / "SAE.PT").encode(tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("key", ["apply_b_dec_to_input", "rescale_acts_by_decoder_norm"])
@pytest.mark.parametrize("value", ["false", "true", 0, 1, []])
def test_flags_are_true_or_false(tmp_path, key, value):
    write_saelens(tmp_path / "s", weights_of(random_sae("standard")), architecture="standard", **{key: value})
    refused(tmp_path / "s", "must be true or false")


def test_settings_that_unfold_to_any_length_are_shown_short(tmp_path):
    """Each list holds the one before ten times; written out, the last would fill the disk."""
    nested = ["x"]
    for _ in range(30):
        nested = [nested] * 10
    tensors = weights_of(random_sae("standard"))
    torch.save({"cfg": {"gated_sae": nested}, "state_dict": tensors}, tmp_path / "sae.pt")
    assert len(refused(tmp_path / "sae.pt", "gated_sae")) < 500
    write_saelens(tmp_path / "s", tensors, architecture="x" * 100_000)
    assert len(refused(tmp_path / "s", "architecture")) < 600


def test_a_checkpoint_that_unpacks_to_more_than_it_has(tmp_path):
    path = pickled(tmp_path / "sae.pt")
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    largest = max(content, key=lambda name: len(content[name]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in content.items():
            archive.writestr(name, bytes(100 << 20) if name == largest else data)
    tracemalloc.start()
    refused(path, "would unpack to")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_encoder_with_nan_in_its_weights(tmp_path, value):
    state = {name: tensor.clone() for name, tensor in small_network().state_dict().items()}
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state, path)
    encoder = Encoder(name="timm:test_vit", weights=str(path))
    assert loading.load(encoder).dim > 0
    state["blocks.0.norm1.weight"][3] = value
    safetensors.torch.save_file(state, path)
    assert "'blocks.0.norm1.weight' holds NaN or infinity" in answer(lambda: loading.load(encoder))


# ------------------------------------------------------------ damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Dictionaries in every form that is read: place → the bytes of its files."""
    root = tmp_path_factory.mktemp("whole")
    for architecture in ("standard", "topk", "jumprelu"):
        save(random_sae(architecture), root / architecture)
    write_sparsify(root / "sparsify", random_sae())
    (root / "sae.pt").parent.mkdir(exist_ok=True)
    pickled(root / "sae.pt")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def written(folder, content, *, of):
    """The files of the dictionary that the file `of` belongs to."""
    for name, data in content.items():
        if name.split("/")[0] != of.split("/")[0]:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@fuzz(250)
@given(data=st.data())
def test_damaged_dictionaries(whole, tmp_path, data):
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, min(len(content), 2000) - 1)))
        kind = data.draw(st.sampled_from(["flip", "flip", "cut", "insert", "remove"]))
        if kind == "flip" and content:
            content[place] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del content[place : place + data.draw(st.integers(1, 40))]
    written(tmp_path, whole | {name: bytes(content)}, of=name)
    found = answer(lambda: load(tmp_path / name.split("/")[0]))
    if not isinstance(found, str):
        usable(found)


@fuzz(60)
@given(data=st.data())
def test_files_in_place_of_others(whole, tmp_path, data):
    one, other = data.draw(st.permutations(sorted(whole)))[:2]
    written(tmp_path, whole | {one: whole[other]}, of=one)
    found = answer(lambda: load(tmp_path / one.split("/")[0]))
    if not isinstance(found, str):
        usable(found)


@fuzz(150)
@given(form=st.sampled_from(["standard", "topk", "jumprelu", "sparsify"]), data=st.data())
def test_configurations_with_any_other_value(whole, tmp_path, form, data):
    config = json.loads(whole[f"{form}/cfg.json"])
    key = data.draw(st.sampled_from([*config, "activation_fn", "activation_fn_kwargs", "rescale_acts_by_decoder_norm"]))
    config[key] = data.draw(VALUES)
    written(tmp_path, whole | {f"{form}/cfg.json": json.dumps(config).encode()}, of=form)
    found = answer(lambda: load(tmp_path / form))
    if not isinstance(found, str):
        usable(found)
