import copy
import logging

import cv2
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from histoweave.config import Encoder
from histoweave.encoders import fused, inference
from histoweave.encoders.convolution import FusedConvolution, NotFusable
from histoweave.encoders.fused import fuse
from histoweave.encoders.inference import TileEncoder, arithmetics
from histoweave.encoders.loading import LoadedEncoder, load
from histoweave.encoders.rounding import bias_for_rounding, rounded
from histoweave.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
needs_bfloat16 = pytest.mark.skipif(not inference.cpu_has_bfloat16(), reason="CPU without bfloat16")
ARITHMETICS = ["float32", pytest.param("bfloat16", marks=needs_bfloat16)]


def tissue_tiles(n, edge_px, *, noise=8.0, seed=0):
    """Pink and purple: smooth structure of several sizes, and noise of `noise` grey levels; (n,E,E,3) uint8."""
    rng = np.random.default_rng(seed)
    tiles = np.array([200.0, 150.0, 190.0]) + rng.normal(0, 15, (n, 1, 1, 3))
    tiles = tiles + rng.normal(0, noise, (n, edge_px, edge_px, 3))
    for tile in tiles:
        for cells, strength in ((4, 20), (16, 25), (56, 20)):
            tile += strength * cv2.resize(
                rng.normal(size=(cells, cells, 3)), (edge_px, edge_px), interpolation=cv2.INTER_CUBIC
            )
    return tiles.clip(0, 255).astype(np.uint8)


def with_random_statistics(network, seed=0):
    """Normalisation that does something: fresh statistics are the identity and hide mistakes in folding."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            if part.affine:
                part.weight.data.uniform_(0.5, 1.2, generator=generator)
                part.bias.data.normal_(0, 0.2, generator=generator)
    return network.eval().requires_grad_(False)


def loaded(network, *, input_px=64):
    return LoadedEncoder(
        name="small",
        module=network.eval().requires_grad_(False),
        dim=network(torch.zeros(1, 3, input_px, input_px)).shape[1],
        input_px=input_px,
        mean=(0.7, 0.55, 0.7),
        std=(0.2, 0.25, 0.2),
        interpolation="bicubic",
        weights_sha256="0" * 64,
    )


def timm_encoder(name, *, input_px=64, **options):
    torch.manual_seed(0)
    return loaded(with_random_statistics(timm.create_model(name, num_classes=0, **options)), input_px=input_px)


def naive(tiles, encoder):
    """Float32, one layout, nothing fused, one tile at a time."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (encoder.mean, encoder.std))
    images = (torch.from_numpy(tiles).permute(0, 3, 1, 2).float().contiguous() / 255 - mean) / std
    with torch.inference_mode():
        return torch.cat([encoder.module(image[None]) for image in images]).numpy()


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def assert_faithful(tiles, encoder, arithmetic, *, path="fused"):
    ready = TileEncoder(encoder, device=CPU, arithmetic=arithmetic)
    assert (ready.path, ready.arithmetic) == (path, arithmetic)
    features, expected = ready(tiles), naive(tiles, encoder)
    assert features.dtype == np.float32 and features.shape == (len(tiles), encoder.dim)
    assert cosines(features, expected).min() >= 0.999
    if arithmetic == "float32":
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    torch.manual_seed(0)
    network = with_random_statistics(timm.create_model("resnet50", num_classes=0))
    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return load(Encoder(name="resnet50", weights=str(path)))


@pytest.fixture(scope="module")
def lite0():
    return load(Encoder(name="efficientnet_lite0"))


@needs_onednn
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_resnet50_keeps_its_features(resnet50, arithmetic):
    assert_faithful(tissue_tiles(6, 224), resnet50, arithmetic)


@needs_onednn
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("noise", [0, 8, 30])
def test_lite0_with_its_real_weights_keeps_its_features(lite0, arithmetic, noise):
    assert_faithful(tissue_tiles(16, 224, noise=noise), lite0, arithmetic)


@needs_bfloat16
def test_lite0_keeps_its_features_on_glass_and_on_noise(lite0):
    glass = np.random.default_rng(1).normal(240, 1, (4, 224, 224, 3)).round().astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (7, 224, 224, 3), dtype=np.uint8)
    assert_faithful(np.concatenate([glass, noise]), lite0, "bfloat16")


@needs_onednn
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize(
    ("name", "input_px"),
    [
        ("resnet18", 64),
        ("resnet26d", 75),  # a deep stem, average pooling in the shortcuts, an odd size
        ("resnext26ts", 64),  # groups, swish
        ("resnetblur18", 64),
        ("resnetv2_50", 64),  # normalisation before the convolution, which cannot be folded
        ("tf_efficientnet_b0", 75),  # TensorFlow's padding at odd sizes, squeeze and excitation, swish
        ("mobilenetv3_small_050", 64),
        ("densenet121", 64),
        ("regnety_002", 64),
    ],
)
def test_other_convolutional_networks_keep_their_features(name, input_px, arithmetic):
    encoder = timm_encoder(name, input_px=input_px)
    assert_faithful(tissue_tiles(3, input_px), encoder, arithmetic)


@needs_onednn
def test_everything_in_a_resnet_is_fused(resnet50):
    network, _ = fuse(resnet50.module, edge_px=224, dtype=torch.float32)
    kinds = [type(part) for part in network.modules()]
    assert nn.Conv2d not in kinds and nn.BatchNorm2d not in kinds and nn.ReLU not in kinds
    convolutions = [part for part in network.modules() if isinstance(part, FusedConvolution)]
    assert len(convolutions) == 53 and sum(part.overwrites for part in convolutions) == 16
    assert not [node for node in network.graph.nodes if node.op == "call_function" and "add" in str(node.target)]


class Awkward(nn.Module):
    """Sums whose summands are read again, are views, broadcast, or are the convolution itself."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.same, self.more, self.less, self.last = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))
        self.narrow, self.twice = nn.Conv2d(8, 8, 64), nn.Conv2d(8, 8, 1)
        self.idle, self.act = nn.Dropout(), nn.ReLU(inplace=True)

    def forward(self, images):
        x = self.norm(self.first(images))
        kept = self.idle(x)
        y = self.act(self.same(self.twice(x)) + x)  # x is read again below
        z = y.flatten(1)
        y = self.more(self.twice(y)) + y  # z looks at y
        w = self.less(y)
        w = w + w
        y += self.last(self.twice(y))
        return torch.cat([(y + kept + self.narrow(w)).mean((2, 3)), z[:, :64], (w + 1).mean((2, 3))], dim=1)


@needs_onednn
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_sums_never_overwrite_what_is_read_again(arithmetic):
    torch.manual_seed(0)
    assert_faithful(tissue_tiles(3, 64), loaded(with_random_statistics(Awkward())), arithmetic)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_transformer_runs_its_own_operations_and_the_log_says_so(arithmetic, caplog):
    encoder = timm_encoder("test_vit", img_size=64)
    with caplog.at_level(logging.INFO):
        assert_faithful(tissue_tiles(4, 64), encoder, arithmetic, path="unfused")
    assert f"small on cpu in {arithmetic}: own operations, not fused, because it has no batch norm" in caplog.text


class Overwriting(nn.Module):
    """Reads a tensor under the name it had before `+=`, which torch.fx takes for a plain sum."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, images):
        before = x = self.norm(self.first(images))
        x += self.second(x)
        return (x + before).mean((2, 3))


@needs_onednn
def test_a_network_that_is_traced_wrongly_is_noticed(caplog):
    torch.manual_seed(0)
    encoder = loaded(with_random_statistics(Overwriting()))
    with caplog.at_level(logging.INFO):
        assert_faithful(tissue_tiles(2, 64), encoder, "float32", path="unfused")
    assert "its features would change by" in caplog.text


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, images):
        x = self.norm(self.convolution(images))
        return x.mean((2, 3)) if images.sum() > 0 else x.amax((2, 3))


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_network_that_cannot_be_traced_runs_its_own_operations(arithmetic, caplog):
    with caplog.at_level(logging.INFO):
        assert_faithful(tissue_tiles(4, 64), loaded(with_random_statistics(Deciding())), arithmetic, path="unfused")
    assert "torch.fx cannot trace it" in caplog.text


def test_without_onednn_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert_faithful(tissue_tiles(2, 64), timm_encoder("resnet18"), "float32", path="unfused")
    assert "lacks oneDNN" in caplog.text
    assert arithmetics("auto", CPU)[0] == "float32"


@needs_onednn
def test_a_fused_network_that_differs_is_refused(monkeypatch):
    encoder = timm_encoder("resnet18")
    original = fused._fold_normalisation

    def forgetful(network):
        original(network)
        next(part for part in network.modules() if isinstance(part, nn.Conv2d)).bias.data.add_(1.0)

    monkeypatch.setattr(fused, "_fold_normalisation", forgetful)
    with pytest.raises(NotFusable, match="its features would change by"):
        fuse(encoder.module, edge_px=64, dtype=torch.float32)


@pytest.mark.parametrize("name", ["resnet18", "test_vit"])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_the_encoder_stays_untouched_and_results_repeat(name, arithmetic):
    encoder = timm_encoder(name, **({"img_size": 64} if "vit" in name else {}))
    before, kinds = copy.deepcopy(encoder.module.state_dict()), [type(part) for part in encoder.module.modules()]
    tiles = tissue_tiles(5, 64)
    first = TileEncoder(encoder, device=CPU, arithmetic=arithmetic)
    features = first(tiles)
    first(tiles[:2])
    again = TileEncoder(encoder, device=CPU, arithmetic=arithmetic)
    assert again(tiles[:3]).shape == (3, encoder.dim)
    assert np.array_equal(features, first(tiles)) and np.array_equal(features, again(tiles))
    after = encoder.module.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[key], after[key]) for key in before)
    assert kinds == [type(part) for part in encoder.module.modules()]
    assert all(value.stride() == before[key].stride() for key, value in after.items())


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_transform_normalises_each_channel(arithmetic):
    encoder = timm_encoder("resnet18")
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = TileEncoder(encoder, device=CPU, arithmetic=arithmetic).transform(tiles)
    assert images.shape == (2, 3, 64, 64) and images.is_contiguous(memory_format=torch.channels_last)
    assert images.dtype == getattr(torch, arithmetic)
    expected = (tiles / 255 - np.array(encoder.mean)) / np.array(encoder.std)
    tolerance = {"float32": 1e-6, "bfloat16": 2**-8}[arithmetic]
    np.testing.assert_allclose(images.float().permute(0, 2, 3, 1), expected, rtol=tolerance, atol=1e-6)


def test_tiles_that_are_views_are_taken():
    encoder = timm_encoder("resnet18")
    ready, tiles = TileEncoder(encoder, device=CPU, arithmetic="float32"), tissue_tiles(2, 64)
    assert np.array_equal(ready(tiles[:, ::-1]), ready(tiles[:, ::-1].copy()))


@pytest.mark.parametrize(
    ("avx512", "amx", "onednn", "expected"),
    [(True, False, True, "bfloat16"), (False, True, True, "bfloat16"), (False, False, True, "float32"),
     (True, True, False, "float32")],
)  # fmt: skip
def test_auto_takes_bfloat16_on_a_cpu_that_has_it(monkeypatch, avx512, amx, onednn, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    assert arithmetics("auto", CPU)[0] == expected
    assert arithmetics("float32", CPU)[0] == "float32"
    if expected == "float32":
        with pytest.raises(InputError, match=r"features\.arithmetic is 'bfloat16'.*use 'auto' or 'float32'"):
            arithmetics("bfloat16", CPU)


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float16")])
def test_auto_on_cuda(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert arithmetics("auto", CUDA)[0] == expected
    assert arithmetics("float16", CUDA)[0] == "float16"
    if not native:
        with pytest.raises(InputError, match=r"features\.arithmetic is 'bfloat16'.*cuda"):
            arithmetics("bfloat16", CUDA)


@pytest.mark.parametrize("arithmetic", ["float16", "float64"])
def test_arithmetic_that_no_cpu_has_is_refused(arithmetic):
    with pytest.raises(InputError, match=rf"features\.arithmetic is '{arithmetic}'"):
        TileEncoder(timm_encoder("resnet18"), device=CPU, arithmetic=arithmetic)


def test_depthwise_kernels_keep_their_sum_and_the_bias_takes_up_the_rest():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(500, 1, 3, 3, generator=generator)
    low, plain = rounded(weight, torch.bfloat16), weight.bfloat16()
    lost, lost_plainly = ((weight - each.float()).sum((1, 2, 3)).abs() for each in (low, plain))
    assert lost.mean() < 0.2 * lost_plainly.mean()
    assert ((weight - low.float()).abs() <= 2**-7 * weight.abs() + 2**-7 * weight.abs().amax((2, 3), True)).all()
    assert torch.equal(rounded(weight, torch.float32), weight)

    weight, mean = torch.randn(6, 4, 3, 3, generator=generator), torch.rand(8, generator=generator)
    image = mean.view(1, 8, 1, 1).expand(1, 8, 3, 3)
    low = rounded(weight, torch.bfloat16)
    assert torch.equal(low, weight.bfloat16())
    bias = bias_for_rounding(weight, low, input_mean=mean, groups=2)
    exact, coarse = (nn.functional.conv2d(image, each.float(), groups=2).flatten() for each in (weight, low))
    torch.testing.assert_close(coarse + bias, exact, rtol=0, atol=1e-5)


class FaintContrast(nn.Module):
    """Differences of colours on a large constant, which bfloat16 cannot hold."""

    def __init__(self):
        super().__init__()
        self.differences = nn.Linear(3, 2, bias=False)
        self.differences.weight.data = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])

    def forward(self, images):
        return self.differences(images.mean(dim=(2, 3)) + 1000)


@needs_bfloat16
def test_auto_does_not_take_an_arithmetic_that_changes_the_features(caplog):
    caplog.set_level("INFO")
    encoder = loaded(FaintContrast())
    ready = TileEncoder(encoder, device=CPU, arithmetic="auto")
    assert (ready.arithmetic, ready.path) == ("float32", "unfused")
    assert "in bfloat16 changes its features too much" in caplog.text
    tiles = tissue_tiles(4, 64)
    assert cosines(ready(tiles), naive(tiles, encoder)).min() > 0.99999
    asked = TileEncoder(encoder, device=CPU, arithmetic="bfloat16")
    assert asked.arithmetic == "bfloat16"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("arithmetic", "least"), [("auto", 0.999), ("float32", 0.99999), ("float16", 0.999)])
def test_cuda_keeps_the_features(lite0, arithmetic, least):
    ready, tiles = TileEncoder(lite0, device=CUDA, arithmetic=arithmetic), tissue_tiles(8, 224)
    features = ready(tiles)
    assert cosines(features, naive(tiles, lite0)).min() >= least
    assert np.array_equal(features, ready(tiles))
