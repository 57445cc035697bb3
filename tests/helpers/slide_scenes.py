"""Small synthetic slides for tests: scenes defined in µm, written as tiled TIFFs that OpenSlide opens."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile

from histoweave.settings.tiles import Tiles

# Tiles of 64 px at 0.5 µm per px are 32 µm: small scenes hold many of them.
SMALL_TILES = Tiles(tile_px=64, target_mpp=0.5, segmentation_mpp=2.0, min_region_um2=400.0)
FIELD_UM = (320.0, 256.0)
TISSUE_CENTRE_UM = (160.0, 128.0)
TISSUE_RADII_UM = (130.0, 100.0)


def tissue_scene(mpp: float, *, field_um: tuple[float, float] = FIELD_UM) -> np.ndarray:
    """An ellipse of pink and purple waves on near-white glass, rendered at `mpp`: (H,W,3) uint8."""
    width, height = (round(edge / mpp) for edge in field_um)
    x_um, y_um = np.meshgrid((np.arange(width) + 0.5) * mpp, (np.arange(height) + 0.5) * mpp)
    centre, radii = TISSUE_CENTRE_UM, TISSUE_RADII_UM
    inside = ((x_um - centre[0]) / radii[0]) ** 2 + ((y_um - centre[1]) / radii[1]) ** 2 < 1
    wave = 0.5 + 0.5 * np.sin(x_um / 5 + 0.02 * y_um) * np.cos(y_um / 7 - 0.01 * x_um)
    pink, purple = np.array([225.0, 150.0, 190.0]), np.array([110.0, 60.0, 140.0])
    tissue = pink + (purple - pink) * wave[..., None]
    glass = np.array([243.0, 242.0, 244.0])
    return np.where(inside[..., None], tissue, glass).astype(np.uint8)


def write_slide(
    path: Path, rgb: np.ndarray, *, mpp: float | None, levels: int = 1, compression: str | None = "jpeg"
) -> Path:
    """Write `rgb` as a tiled generic TIFF, each level half the one before; no resolution tag without `mpp`."""
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            resolution = None if mpp is None else (1e4 / (mpp * 2**level),) * 2
            writer.write(
                rgb,
                tile=(64, 64),
                photometric="rgb",
                compression=compression,
                resolution=resolution,
                resolutionunit=None if mpp is None else "CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
            height, width = rgb.shape[:2]
            rgb = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return path


def destroy_tile(path: Path, *, column: int, row: int) -> None:
    """Overwrite the data of one 64 px tile of level 0."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        across = -(-page.imagewidth // 64)
        index = row * across + column
        offset, size = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x00" * size)
