"""Networks that are fused, in any arithmetic, keep the features of the plain network; others run as they are."""

import copy
import logging

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from inference_data import (
    ARITHMETICS,
    CPU,
    CUDA,
    cosines,
    loaded,
    naive,
    needs_bfloat16,
    needs_onednn,
    timm_encoder,
    tissue_tiles,
    with_random_statistics,
)
from torch import nn

from histoweave.encoders import fused
from histoweave.encoders.convolution import FusedConvolution, NotFusable
from histoweave.encoders.fused import fuse
from histoweave.encoders.inference import TileEncoder, arithmetics
from histoweave.encoders.loading import load
from histoweave.settings.encoder import Encoder


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("arithmetic", "least"), [("auto", 0.999), ("float32", 0.99999), ("float16", 0.999)])
def test_cuda_keeps_the_features(lite0, arithmetic, least):
    ready, tiles = TileEncoder(lite0, device=CUDA, arithmetic=arithmetic), tissue_tiles(8, 224)
    features = ready(tiles)
    assert cosines(features, naive(tiles, lite0)).min() >= least
    assert np.array_equal(features, ready(tiles))
