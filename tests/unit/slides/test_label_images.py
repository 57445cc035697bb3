"""Labels and macro images of slides are never looked at."""

from __future__ import annotations

import numpy as np
import openslide
import pytest
from running import ROOT

from histoweave.settings.tiles import Tiles
from histoweave.tiles.slide import tile_slide


def test_no_code_reads_label_or_macro_images():
    for path in sorted([*(ROOT / "workflow").rglob("*.py"), *(ROOT / "rules").glob("*.smk")]):
        text = path.read_text(encoding="utf-8")
        assert "associated_image" not in text and "get_thumbnail" not in text, path


def test_tiling_works_where_label_and_macro_images_cannot_be_read(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")

    def forbidden(self):
        raise AssertionError("label and macro images are none of our business")

    for kind in (openslide.AbstractSlide, openslide.OpenSlide, openslide.ImageSlide):
        for name in ("associated_images", "associated_image_profiles"):
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, property(forbidden))
    pixels = np.full((1024, 1024, 3), 245, np.uint8)
    pixels[200:900, 200:900] = (200, 110, 170)
    pixels[::3, ::2] //= 2
    tifffile.imwrite(
        tmp_path / "slide.tiff", pixels, tile=(256, 256), photometric="rgb",
        resolution=(20000, 20000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    status = tile_slide(
        slide="slide", path=str(tmp_path / "slide.tiff"), mpp=0.5, settings=Tiles(), on_error="continue",
        out_h5=tmp_path / "s.h5", out_geojson=tmp_path / "s.geojson", out_png=tmp_path / "s.png",
    )  # fmt: skip
    assert status == "ok"
