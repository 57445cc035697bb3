"""Tiles become images, and numbers are as short as the device can do and the features bear."""

import numpy as np
import pytest
import torch
from inference_data import ARITHMETICS, CPU, CUDA, cosines, loaded, naive, needs_bfloat16, timm_encoder, tissue_tiles
from torch import nn

from histoweave.encoders.inference import TileEncoder, arithmetics
from histoweave.encoders.rounding import bias_for_rounding, rounded
from histoweave.errors import InputError


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
