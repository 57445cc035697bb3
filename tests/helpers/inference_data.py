"""Tiles that look like tissue, networks of awkward statistics, and their features computed the plain way."""

import cv2
import numpy as np
import pytest
import timm
import torch
from torch import nn

from histoweave.encoders import inference
from histoweave.encoders.loading import LoadedEncoder

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
