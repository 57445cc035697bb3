"""Our files, made by the real stages, and the squares of the slide that CLAM and TRIDENT cut for their rows.

The readers here follow the documented behaviour of those tools. A name that vanishes from our files is a KeyError here.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import timm
import torch
from slide_scenes import SMALL_TILES, tissue_scene, write_slide

from histoweave.encoders.inference import TileEncoder
from histoweave.encoders.loading import LoadedEncoder
from histoweave.features.slide import extract
from histoweave.tiles.slide import tile_slide


@dataclass(frozen=True)
class Made:
    slide: Path
    tiles: Path
    features: Path
    mpp: float


@pytest.fixture(scope="module", name="encode")
def encoding():
    """Runs the feature stage with a small network."""
    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=0, img_size=48).eval().requires_grad_(False)
    encoder = LoadedEncoder(
        name="small", module=module, dim=module.num_features, input_px=48, mean=(0.7, 0.55, 0.7), std=(0.2, 0.25, 0.2),
        interpolation="bicubic", weights_sha256="5" * 64,
    )  # fmt: skip
    ready = TileEncoder(encoder, device=torch.device("cpu"), arithmetic="float32")

    def run(slide, tiles_h5, out_h5):
        return extract(
            slide="S1", path=str(slide), tiles_h5=tiles_h5, out_h5=out_h5, encoder=ready, precision="float32",
            max_failed_share=0.0, on_error="continue", tile_batch=64, read_workers=2,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module", name="make")
def making(tmp_path_factory, encode):
    """Runs both stages on a synthetic slide with two levels, the second half the first."""
    made: dict = {}

    def run(mpp, *, empty=False) -> Made:
        if (mpp, empty) not in made:
            folder = tmp_path_factory.mktemp("made")
            scene = tissue_scene(mpp)
            path = write_slide(folder / "a.tiff", np.full_like(scene, 243) if empty else scene, mpp=mpp, levels=2)
            files = Made(path, folder / "t.h5", folder / "f.h5", mpp)
            tile_slide(
                slide="S1", path=str(path), mpp=None, settings=SMALL_TILES, on_error="continue", out_h5=files.tiles,
                out_geojson=folder / "t.geojson", out_png=folder / "t.png",
            )  # fmt: skip
            encode(path, files.tiles, files.features)
            made[mpp, empty] = files
        return made[mpp, empty]

    return run


def same_extent_in_clam(attributes):
    """Whether CLAM's `patch_size` px at `patch_level` are our tile, whose `patch_size` is counted at `target_mpp`."""
    downsample = 1.0 if np.isnan(attributes["downsample"]) else attributes["downsample"]
    return attributes["patch_size"] == round(attributes["patch_size_level0"] / downsample)


def clam_extents(h5):
    """CLAM's patch dataset: (N,3) x, y and edge in level-0 px of what it cuts with `read_region`; level, px."""
    with h5py.File(h5) as file:
        coords = file["coords"]
        level, px = coords.attrs["patch_level"], coords.attrs["patch_size"]
        return coords[:], int(level), int(px)


def trident_extents(h5):
    """TRIDENT's patcher: edge in level-0 px from the two magnifications, and the px that it then resizes to."""
    with h5py.File(h5) as file:
        attributes = dict(file["coords"].attrs)
        wanted = [attributes[key] for key in ("patch_size", "level0_magnification", "target_magnification", "overlap")]
        px, magnification, target, overlap = wanted
        scale = (10 / target) / (10 / magnification)
        return file["coords"][:], round(px * scale), round(overlap * scale), int(px)
