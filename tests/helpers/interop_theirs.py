"""Files of other tools, written as their documented forms are, and what we take from them or refuse."""

import h5py
import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from histoweave.interop.coords import given_tiles
from histoweave.interop.features import given_features
from histoweave.settings.tiles import Tiles
from histoweave.slides.spacing import Spacing
from histoweave.storage.refusal import Refusal

SIZE = (40_000, 30_000)
SPACING = Spacing(0.25, 0.25, "openslide")
LEVELS = (1.0, 4.0001, 16.002)
CORNERS = np.array([[512, 0], [0, 512], [39_900, 29_990], [0, 0]])  # the third hangs over the slide's corner
TILES_256 = Tiles(tile_px=256, target_mpp=0.5)  # 128 µm
UNHURRIED = hypothesis_settings(deadline=None, max_examples=50)  # each example writes a file


def write(path, *, file=None, groups=None, **datasets):
    """`datasets`: name → (array, attributes)."""
    with h5py.File(path, "w") as h5:
        for name, (array, attributes) in ((groups or {}) | datasets).items():
            h5.create_dataset(name, data=array).attrs.update(attributes)
        h5.attrs.update(file or {})
    return path


def clam_attributes(**changes):
    return {
        "patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0002), "downsampled_level_dim": (9999, 7499),
        "level_dim": (9999, 7499), "name": "s", "save_path": "patches",
    } | changes  # fmt: skip


def trident_attributes(**changes):
    return {
        "patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40, "target_magnification": 20, "overlap": 0,
        "name": "s", "savetodir": "out", "level0_width": SIZE[0], "level0_height": SIZE[1],
    } | changes  # fmt: skip


def stamp_attributes(**changes):
    return {
        "stamp_version": "2.3.0", "extractor": "uni2", "unit": "um", "tile_size_um": 128.0, "tile_size_px": 224,
        "code_hash": "0badcafe", "feat_type": "tile",
    } | changes  # fmt: skip


def without(attributes, *keys):
    return {key: value for key, value in attributes.items() if key not in keys}


def vectors(n=4, dim=6, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, dim)).astype(dtype)


def tiles_of(path, **changes):
    place = {"size_lv0": SIZE, "spacing": SPACING, "downsamples": LEVELS, "settings": TILES_256}
    return given_tiles("S1", path, **(place | changes))


def features_of(path, **changes):
    return given_features("S1", path, **({"settings": TILES_256} | changes))


def rows_of(taken, **options):
    return np.concatenate(list(taken.blocks(**options)))


def refusal_of(call, *arguments, **changes):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **changes)
    assert "\n" not in caught.value.reason
    return caught.value.status, caught.value.reason
