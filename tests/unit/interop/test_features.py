"""Features made by other tools, written here as their documented forms are, taken with the places of their tiles."""

import math

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interop_theirs import (
    CORNERS,
    LEVELS,
    SIZE,
    SPACING,
    UNHURRIED,
    features_of,
    refusal_of,
    rows_of,
    stamp_attributes,
    trident_attributes,
    vectors,
    without,
    write,
)

from histoweave.settings.tiles import Tiles
from histoweave.slides.store import tile_attributes, write_tiles


def test_clam_features_need_no_spacing(tmp_path):
    wanted = vectors()
    path = write(tmp_path / "f.h5", features=(wanted, {}), coords=(CORNERS.astype(np.int32), {}))
    taken = features_of(path)
    assert (taken.format, taken.encoder, taken.dim, taken.precision, len(taken)) == ("clam", "unknown", 6, "float32", 4)
    assert (taken.coords == CORNERS).all() and taken.coords.dtype == np.int64
    assert (rows_of(taken) == wanted).all()
    attributes = taken.attributes
    assert attributes["mpp_source"] == "none" and math.isnan(attributes["level0_mpp"])
    assert (attributes["patch_size"], attributes["patch_size_level0"]) == (0, 0) and math.isnan(
        attributes["target_mpp"]
    )
    assert set(attributes) == set(tile_attributes(slide="S1", tile_px=1, target_mpp=1, overlap_px=0))
    table = taken.tile_table()
    assert (table.source, table.status) == ("features_file", "ok") and np.isnan(table.tissue_fraction).all()
    write_tiles(tmp_path / "t.h5", table)


def test_trident_features_say_their_encoder_and_their_geometry(tmp_path):
    features = (vectors(), {"encoder": "conch_v15", "name": "s", "savetodir": "out"})
    path = write(tmp_path / "f.h5", features=features, coords=(CORNERS, trident_attributes()))
    taken = features_of(path, spacing=SPACING, size_lv0=SIZE, downsamples=LEVELS)
    assert (taken.format, taken.encoder) == ("trident", "conch_v15")
    assert taken.encoder_attributes["encoder"] == "conch_v15" and taken.encoder_attributes["name"] == "S1"
    assert taken.attributes["patch_size_level0"] == 512 and taken.attributes["target_mpp"] == 0.5
    assert taken.attributes["level0_width"] == SIZE[0]
    nominal = features_of(path).attributes
    assert (nominal["level0_magnification"], nominal["target_magnification"]) == (40, 20)
    assert math.isnan(nominal["level0_mpp"]) and nominal["patch_size_level0"] == 512


def test_scales_are_not_mixed(tmp_path):
    path = write(tmp_path / "f.h5", features=(vectors(), {}), coords=(CORNERS, trident_attributes()))
    settings = Tiles(tile_px=224, target_mpp=0.5)
    status, reason = refusal_of(features_of, path, settings=settings, spacing=SPACING)
    assert status == "bad_coords" and "128 µm" in reason and "112 µm" in reason
    status, reason = refusal_of(features_of, path, settings=settings)
    assert status == "bad_coords" and "by the magnification stated" in reason


def test_stamp_features(tmp_path):
    wanted = vectors(dtype=np.float16)
    um = (CORNERS * 0.25).astype(np.float32)
    path = write(tmp_path / "f.h5", file=stamp_attributes(), feats=(wanted, {}), coords=(um, {}))
    taken = features_of(path, spacing=SPACING)
    assert (taken.format, taken.encoder, taken.precision) == ("stamp", "uni2", "float16")
    assert (taken.coords == CORNERS).all() and (rows_of(taken) == wanted).all()
    assert taken.attributes["patch_size"] == 224 and taken.attributes["patch_size_level0"] == 512
    assert refusal_of(features_of, path)[0] == "no_mpp"
    # Version 2.0: `tile_size` with a unit, no size in px.
    early = without(stamp_attributes(tile_size=128.0), "tile_size_um", "tile_size_px")
    path = write(tmp_path / "g.h5", file=early, feats=(wanted, {}), coords=(um, {}))
    assert features_of(path, spacing=SPACING).attributes["patch_size_level0"] == 512
    # Before: px of another scale, and nothing says so.
    path = write(tmp_path / "h.h5", file={"extractor": "ctp"}, feats=(wanted, {}), coords=(um, {}))
    status, reason = refusal_of(features_of, path, spacing=SPACING)
    assert status == "bad_coords" and "does not state its coordinates in µm" in reason
    path = write(tmp_path / "i.h5", file=stamp_attributes(feat_type="slide"), feats=(wanted, {}), coords=(um, {}))
    assert "features per slide" in refusal_of(features_of, path, spacing=SPACING)[1]


def test_atlaspatch_features_of_one_encoder(tmp_path):
    five = np.column_stack([CORNERS, np.full((4, 2), 512), np.zeros(4, int)])
    datasets = {"coords": (five, {}), "features/uni_v2": (vectors(), {})}
    path = write(tmp_path / "f.h5", file=without(trident_attributes(), "name"), groups=datasets)
    taken = features_of(path, spacing=SPACING)
    assert (taken.format, taken.encoder) == ("atlaspatch", "uni_v2") and (rows_of(taken) == vectors()).all()
    datasets["features/phikon"] = (vectors(), {})
    path = write(tmp_path / "g.h5", file=without(trident_attributes(), "name"), groups=datasets)
    assert "2 encoders (phikon, uni_v2)" in refusal_of(features_of, path)[1]


@UNHURRIED
@given(n=st.integers(1, 40), max_bytes=st.integers(1, 2000), leading=st.booleans())
def test_blocks_are_bounded_and_in_order(tmp_path_factory, n, max_bytes, leading):
    wanted = vectors(n)
    stored = wanted[None] if leading else wanted
    coords = np.stack([np.arange(n), np.zeros(n, int)], axis=1)
    path = write(tmp_path_factory.mktemp("blocks") / "f.h5", features=(stored, {}), coords=(coords, {}))
    taken = features_of(path)
    blocks = list(taken.blocks(max_bytes=max_bytes))
    assert all(block.nbytes <= max(max_bytes, wanted[0].nbytes) for block in blocks)
    assert (np.concatenate(blocks) == wanted).all() and len(taken) == n


def spoilt(row, value, dtype=np.float32):
    features = vectors(dtype=dtype)
    features[row, 2] = value
    return features


@pytest.mark.parametrize(
    ("features", "coords", "status", "says"),
    [
        (vectors(5), CORNERS, "bad_features", "5 rows of features but 4 of coordinates"),
        (spoilt(2, np.nan), CORNERS, "bad_features", "row 2: a value is not finite"),
        (spoilt(3, np.inf, np.float16), CORNERS, "bad_features", "row 3: a value is not finite"),
        (spoilt(1, 1e300, np.float64), CORNERS, "bad_features", "row 1: a value is not finite"),
        (np.zeros((4, 6), np.int32), CORNERS, "bad_features", "int32"),
        (vectors()[0], CORNERS, "bad_features", "one vector for the whole slide"),
        (np.empty((0, 6), np.float32), np.empty((0, 2), np.int64), "no_tissue", "no tiles"),
        (np.empty((0, 6), np.float32), CORNERS, "bad_features", "0 rows of features but 4"),
        (vectors(), CORNERS + 0.25, "bad_coords", "whole level-0 px"),
        (vectors(), np.concatenate([CORNERS[:3], CORNERS[:1]]), "bad_coords", "row 3: (512, 0) occurs twice"),
    ],
)
def test_features_that_cannot_be_used_are_refused(tmp_path, features, coords, status, says):
    path = write(tmp_path / "f.h5", features=(features, {}), coords=(coords, {}))
    found, reason = refusal_of(features_of, path)
    assert found == status and says in reason


def test_a_bare_tensor_has_no_places(tmp_path):
    torch.save(torch.zeros(4, 6), tmp_path / "f.pt")
    status, reason = refusal_of(features_of, tmp_path / "f.pt")
    assert status == "bad_features" and "h5_files/<slide>.h5" in reason
    path = write(tmp_path / "f.h5", features=(vectors(), {}))
    assert "no dataset 'coords'" in refusal_of(features_of, path)[1]
    assert refusal_of(features_of, write(tmp_path / "g.h5", coords=(CORNERS, {})))[0] == "bad_features"
    (tmp_path / "h.h5").write_bytes(b"not HDF5")
    assert refusal_of(features_of, tmp_path / "h.h5")[0] == "unreadable"


def test_a_file_with_a_damaged_chunk_is_unreadable(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", data=vectors(), chunks=(4, 6), compression="gzip")
        place = features.id.get_chunk_info(0)
        file.create_dataset("coords", data=CORNERS)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * place.size)
    assert refusal_of(features_of, path)[0] == "unreadable"
