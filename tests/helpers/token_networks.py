"""Small networks, pictures for them, and what they give by PyTorch's own means."""

from __future__ import annotations

import numpy as np
import timm
import torch

from histoweave.cells.network import TokenNetwork
from histoweave.encoders.loading import ClassAndPatchMean, LoadedEncoder

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 56, 56, 3), np.uint8)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def loaded(name, *, px=56, wrap=False, **options) -> LoadedEncoder:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0, **options).eval().requires_grad_(False)
    module = ClassAndPatchMean(network).eval() if wrap else network
    return LoadedEncoder(name, module, network.num_features, px, MEAN, STD, "bicubic", "00")


def tiny_vit(*, wrap=False, **options) -> LoadedEncoder:
    return loaded(
        "vit_tiny_patch16_224", img_size=56, patch_size=14, depth=4, embed_dim=24, num_heads=2, wrap=wrap, **options
    )


def network(encoder, *, block=-2, final_norm=False) -> TokenNetwork:
    return TokenNetwork(encoder, block=block, final_norm=final_norm, device=CPU)


def inputs(images=IMAGES) -> torch.Tensor:
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def at_block(module, block, images=IMAGES) -> torch.Tensor:
    """The output of one block, caught by a hook."""
    caught = []
    handle = module.blocks[block].register_forward_hook(lambda _, __, output: caught.append(output))
    with torch.inference_mode():
        module(inputs(images))
    handle.remove()
    return caught[0]
