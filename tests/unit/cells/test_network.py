"""From networks to tokens: those of a block, in the order of the patches, and what a network does not have."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from token_networks import IMAGES, MEAN, STD, at_block, inputs, loaded, network, tiny_vit

from histoweave.encoders.loading import LoadedEncoder, load
from histoweave.errors import InputError
from histoweave.settings.encoder import Encoder


@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("block", [-2, 0, 3])
def test_tokens_of_a_transformer_are_those_of_its_block(block, final_norm):
    encoder = tiny_vit()
    tokens, features = network(encoder, block=block, final_norm=final_norm)(IMAGES)
    expected = at_block(encoder.module, block)
    with torch.inference_mode():
        expected = encoder.module.norm(expected) if final_norm else expected
        pooled = encoder.module(inputs())
    assert tokens.dtype == features.dtype == np.float32
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    np.testing.assert_allclose(features, pooled, atol=1e-5)


def test_layout_of_a_transformer():
    known = network(tiny_vit())
    assert (known.grid, known.prefix_tokens, known.n_tokens, known.dim, known.n_features) == ((4, 4), 1, 17, 24, 24)
    with_registers = network(tiny_vit(reg_tokens=4))
    assert (with_registers.grid, with_registers.prefix_tokens, with_registers.n_tokens) == ((4, 4), 5, 21)
    without = network(tiny_vit(class_token=False, global_pool="avg", fc_norm=False))
    assert (without.grid, without.prefix_tokens, without.n_tokens) == ((4, 4), 0, 16)


def test_patches_are_row_by_row():
    encoder = tiny_vit()
    images = IMAGES.copy()
    images[0, 14:28, 42:56] //= 2  # row 1, column 3
    changed = network(encoder, block=0)  # attention mixes a little, the patch itself changes most
    difference = np.abs(changed(images)[0][0] - changed(IMAGES)[0][0]).sum(axis=1)
    assert difference.argmax() == 1 + 1 * 4 + 3


def test_class_and_patch_mean_is_pooled_from_the_same_pass():
    encoder = tiny_vit(wrap=True)
    _, features = network(encoder)(IMAGES)
    with torch.inference_mode():
        np.testing.assert_allclose(features, encoder.module(inputs()), atol=1e-5)
    assert features.shape == (3, 48)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "convnext_atto"])
def test_feature_maps_of_convolutional_networks(name):
    encoder = loaded(name, px=64)
    images = np.pad(IMAGES, ((0, 0), (0, 8), (0, 8), (0, 0)))
    with torch.inference_mode():
        maps = encoder.module.forward_intermediates(inputs(images), intermediates_only=True)
        after_head, pooled = encoder.module.forward_features(inputs(images)), encoder.module(inputs(images))
    for block in (-1, -2):
        known = network(encoder, block=block)
        tokens, features = known(images)
        expected = maps[block]
        assert known.grid == tuple(expected.shape[2:]) and known.prefix_tokens == 0
        rows, columns = known.grid
        for row in range(rows):
            for column in range(columns):
                np.testing.assert_allclose(tokens[:, row * columns + column], expected[:, :, row, column], atol=1e-4)
        np.testing.assert_allclose(features, pooled, atol=1e-4)
    known = network(encoder, block=-1, final_norm=True)
    assert known.dim == after_head.shape[1]
    np.testing.assert_allclose(known(images)[0], after_head.flatten(2).transpose(1, 2), atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "block", "final_norm", "message"),
    [
        (lambda: tiny_vit(), 4, False, "cells.block is 4, but 'vit_tiny.*' has 4 blocks; use -4 to 3"),
        (lambda: tiny_vit(), -5, False, "cells.block is -5"),
        (lambda: tiny_vit(global_pool="avg", fc_norm=True), -2, True, "has no norm after its blocks"),
        (lambda: loaded("resnet18", px=64), 5, False, "has 5 feature maps; use -5 to 4"),
        (lambda: loaded("resnet18", px=64), -2, True, "set cells.block to -1"),
    ],
)
def test_what_a_network_does_not_have(encoder, block, final_norm, message):
    with pytest.raises(InputError, match=message):
        network(encoder(), block=block, final_norm=final_norm)


def test_a_network_without_intermediates():
    encoder = loaded("resnet18", px=64)
    plain = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(InputError, match="does not give the output of its blocks"):
        network(LoadedEncoder("plain", plain, 3, 64, MEAN, STD, "bicubic", ""))
    own = encoder.module.forward_features
    encoder.module.forward_features = lambda x: 1.1 * own(x)
    with pytest.raises(InputError, match="do not lead to its own output"):
        network(encoder)


def test_dinobloom_from_its_authors_file_and_from_safetensors(tmp_path):
    torch.manual_seed(3)
    original = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224)
    state = {key: value.clone() for key, value in original.state_dict().items()}
    heads = {"dino_head.last_layer.weight": torch.zeros(3), "ibot_head.mlp.weight": torch.zeros(3)}
    teacher = {f"backbone.{key}": value for key, value in state.items()} | heads
    torch.save({"teacher": teacher | {"backbone.mask_token": torch.zeros(1, 384)}}, tmp_path / "authors.pth")
    safetensors.torch.save_file(state, tmp_path / "timm.safetensors")
    images = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), np.uint8)
    found = []
    for file in ("authors.pth", "timm.safetensors"):
        known = network(load(Encoder(name="dinobloom_s", weights=str(tmp_path / file))))
        found.append(known(images))
        assert (known.grid, known.prefix_tokens, known.dim) == ((16, 16), 1, 384)
        assert found[-1][0].shape == (1, 257, 384)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    torch.save({"teacher": {k: v for k, v in teacher.items() if "blocks.7.norm1" not in k}}, tmp_path / "part.pth")
    with pytest.raises(InputError, match="does not fit vit_small_patch14_dinov2"):
        load(Encoder(name="dinobloom_s", weights=str(tmp_path / "part.pth")))
