"""Files made by other tools, written here as their documented forms are, taken as tiles and features."""

import math

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from histoweave.config import Tiles
from histoweave.interop.coords import given_tiles
from histoweave.interop.features import given_features
from histoweave.slides.refusal import Refusal
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, tile_attributes, write_tiles

SIZE = (40_000, 30_000)
SPACING = Spacing(0.25, 0.25, "openslide")
LEVELS = (1.0, 4.0001, 16.002)
CORNERS = np.array([[512, 0], [0, 512], [39_900, 29_990], [0, 0]])  # the third hangs over the slide's corner
TILES_256 = Tiles(tile_px=256, target_mpp=0.5)  # 128 µm
TILES_1024 = Tiles(tile_px=256, target_mpp=1.0)  # 256 µm
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


# Coordinates


def test_clam_coordinates_become_a_complete_tile_table(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS.astype(np.int32), clam_attributes()))
    table = tiles_of(path, settings=TILES_1024)
    assert table.coords.tolist() == [[0, 0], [512, 0], [0, 512], [39_900, 29_990]] and table.coords.dtype == np.int64
    assert (table.status, table.reason, table.source, table.slide) == ("ok", "", "coords_file", "S1")
    assert table.tissue_fraction.shape == (4,) and np.isnan(table.tissue_fraction).all()
    assert table.attributes == tile_attributes(
        slide="S1", tile_px=256, target_mpp=1.0, overlap_px=0, spacing=SPACING, size_lv0=SIZE, edge_lv0=1024,
        level=1, downsample=4.0001,
    )  # fmt: skip


@pytest.mark.parametrize("downsample", [4.0, (4.0, 4.0), None])
def test_the_downsample_may_be_a_number_a_pair_or_left_to_the_slide(tmp_path, downsample):
    attributes = (
        without(clam_attributes(), "downsample") if downsample is None else clam_attributes(downsample=downsample)
    )
    table = tiles_of(write(tmp_path / "c.h5", coords=(CORNERS, attributes)), settings=TILES_1024)
    assert table.attributes["patch_size_level0"] == 1024


def test_trident_coordinates_are_read_from_the_level_of_our_rule(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS, trident_attributes(overlap=32)))
    table = tiles_of(path, downsamples=(1.0, 1.99, 4.0))
    expected = {"patch_size": 256, "patch_size_level0": 512, "patch_level": 1, "downsample": 1.99, "overlap": 32}
    assert expected.items() <= table.attributes.items()
    assert table.attributes["target_mpp"] == 0.5 and table.attributes["mpp_source"] == "openslide"
    assert tiles_of(path, downsamples=(1.0, 4.0)).attributes["patch_level"] == 0


def test_early_trident_files_without_a_level0_edge(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS, without(trident_attributes(), "patch_size_level0")))
    assert tiles_of(path).attributes["patch_size_level0"] == 512


def test_the_scale_written_is_the_true_one_not_the_nominal_one(tmp_path):
    spacing = Spacing(0.2527, 0.2527, "openslide")
    table = tiles_of(write(tmp_path / "c.h5", coords=(CORNERS, trident_attributes())), spacing=spacing)
    assert table.attributes["target_mpp"] == pytest.approx(0.5054)
    assert table.attributes["target_magnification"] == pytest.approx(10 / 0.5054)


def test_atlaspatch_coordinates(tmp_path):
    five = np.column_stack([CORNERS, np.full((4, 2), 512), np.zeros(4, int)])
    path = write(tmp_path / "c.h5", file=without(trident_attributes(), "name", "savetodir"), coords=(five, {}))
    table = tiles_of(path)
    assert table.attributes["patch_size_level0"] == 512 and sorted(table.coords.tolist()) == sorted(CORNERS.tolist())


def test_own_tile_files_keep_their_tissue_shares(tmp_path):
    attributes = tile_attributes(
        slide="S1", tile_px=256, target_mpp=0.5, overlap_px=16, spacing=SPACING, size_lv0=SIZE, edge_lv0=512
    )
    shares = np.array([0.5, 0.75, 0.625, 1.0], np.float32)
    write_tiles(tmp_path / "t.h5", TileTable("S1", "slide", attributes, coords=CORNERS, tissue_fraction=shares))
    table = tiles_of(tmp_path / "t.h5", downsamples=(1.0,))
    assert table.attributes == attributes
    assert dict(zip(map(tuple, table.coords.tolist()), table.tissue_fraction, strict=True)) == dict(
        zip(map(tuple, CORNERS.tolist()), shares, strict=True)
    )
    write_tiles(tmp_path / "r.h5", TileTable("S1", "slide", attributes, status="no_tissue", reason="empty glass"))
    assert refusal_of(tiles_of, tmp_path / "r.h5") == ("no_tissue", "empty glass")
    folder = TileTable("S1", "tile_folder", attributes, coords=CORNERS, tissue_fraction=shares, tile_file=tuple("abcd"))
    write_tiles(tmp_path / "f.h5", folder)
    assert refusal_of(tiles_of, tmp_path / "f.h5")[0] == "bad_coords"


@UNHURRIED
@given(
    mpp=st.floats(0.1, 1.0),
    corners=st.lists(st.tuples(st.integers(0, 150_000), st.integers(0, 150_000)), min_size=1, max_size=30, unique=True),
)
def test_stamp_micrometres_come_back_as_the_px_they_were(tmp_path_factory, mpp, corners):
    corners = np.array(corners)
    path = write(
        tmp_path_factory.mktemp("stamp") / "c.h5",
        file=stamp_attributes(tile_size_um=256 * mpp, tile_size_px=256),
        coords=((corners * mpp).astype(np.float32), {}),
        feats=(vectors(len(corners), dtype=np.float16), {}),
    )
    settings = Tiles(tile_px=256, target_mpp=mpp)
    table = tiles_of(path, size_lv0=(150_001, 150_001), spacing=Spacing(mpp, mpp, "override"), settings=settings)
    assert sorted(table.coords.tolist()) == sorted(corners.tolist())
    assert table.attributes["patch_size_level0"] == 256 and table.attributes["target_mpp"] == pytest.approx(mpp)


@UNHURRIED
@given(
    edge=st.integers(256, 2048),
    corners=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 8999)), min_size=1, max_size=30, unique=True),
    randoms=st.randoms(),
)
def test_any_trident_file_keeps_its_tiles_whatever_their_order(tmp_path_factory, edge, corners, randoms):
    folder = tmp_path_factory.mktemp("trident")
    attributes = trident_attributes(patch_size_level0=edge, level0_width=10_000, level0_height=9000)
    place = {"size_lv0": (10_000, 9000), "settings": Tiles(tile_px=256, target_mpp=0.25 * edge / 256)}
    one = tiles_of(write(folder / "1.h5", coords=(np.array(corners), attributes)), **place)
    randoms.shuffle(corners)
    other = tiles_of(write(folder / "2.h5", coords=(np.array(corners), attributes)), **place)
    assert (one.coords == other.coords).all() and {tuple(row) for row in one.coords.tolist()} == set(corners)
    assert one.attributes["patch_size_level0"] == edge
    assert one.attributes["patch_size"] * one.attributes["target_mpp"] == pytest.approx(edge * 0.25)
    assert one.attributes["downsample"] <= edge / 256 * 1.05


@pytest.mark.parametrize(
    ("corners", "says"),
    [
        ([[0, 0], [40_000, 0]], "row 1: (40000, 0) is off the slide of 40000 x 30000 px"),
        ([[0, 30_000]], "row 0: (0, 30000) is off the slide"),
        ([[0, -1], [-5, 0]], "row 0: (0, -1) is off the slide (and 1 more rows)"),
        ([[0, 0], [0.5, 0]], "row 1: (0.5, 0) is not whole level-0 px"),
        ([[0, 0], [np.nan, 0]], "row 1: (nan, 0) is not finite"),
        ([[7, 8], [0, 0], [7, 8]], "row 2: (7, 8) is there twice"),
        ([1, 2, 3], "coords has shape (3,)"),
    ],
)
def test_tiles_that_cannot_be_there_are_refused(tmp_path, corners, says):
    path = write(tmp_path / "c.h5", coords=(np.array(corners), trident_attributes()))
    status, reason = refusal_of(tiles_of, path)
    assert status == "bad_coords" and says in reason


def test_whole_numbers_stored_as_floats_are_taken(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS.astype(np.float64), trident_attributes()))
    assert len(tiles_of(path).coords) == 4


def test_a_file_of_another_slide_is_refused(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS, trident_attributes(level0_width=50_000)))
    assert refusal_of(tiles_of, path) == (
        "bad_coords", "the file is of a slide of 50000 x 30000 px, this one has 40000 x 30000 px at level 0",
    )  # fmt: skip
    path = write(tmp_path / "d.h5", coords=(CORNERS, clam_attributes(downsample=2.0)))
    assert "downsample 2 of level 1 is 4 in the slide" in refusal_of(tiles_of, path)[1]
    path = write(tmp_path / "e.h5", coords=(CORNERS, clam_attributes(patch_level=3)))
    assert "the slide has 3 levels only" in refusal_of(tiles_of, path)[1]


def test_another_physical_size_is_refused_and_the_mend_named_in_the_refusal_works(tmp_path):
    path = write(tmp_path / "c.h5", coords=(CORNERS, trident_attributes()))
    settings = Tiles(tile_px=224, target_mpp=0.5)
    status, reason = refusal_of(tiles_of, path, settings=settings)
    assert status == "bad_coords"
    assert "128 µm" in reason and "112 µm" in reason
    assert "tiles.tile_px: 256 and tiles.target_mpp: 0.5 " in reason
    assert len(tiles_of(path, settings=Tiles(tile_px=256, target_mpp=0.5)).coords) == 4
    # TRIDENT bins 0.20 and 0.29 µm per px alike to 40x; here they are 20 % too small and 16 % too large.
    for mpp in (0.20, 0.29):
        assert refusal_of(tiles_of, path, spacing=Spacing(mpp, mpp, "openslide"))[0] == "bad_coords"
    assert len(tiles_of(path, spacing=Spacing(0.26, 0.26, "openslide")).coords) == 4  # 4 %: within the tolerance


def test_coordinates_without_a_size_a_spacing_or_a_file(tmp_path):
    bare = write(tmp_path / "bare.h5", coords=(CORNERS, {}), features=(vectors(), {}))
    assert "does not state the size of its tiles" in refusal_of(tiles_of, bare)[1]
    trident = write(tmp_path / "t.h5", coords=(CORNERS, trident_attributes()))
    assert refusal_of(tiles_of, trident, spacing=UNKNOWN)[0] == "no_mpp"
    assert refusal_of(tiles_of, tmp_path / "none.h5")[0] == "missing_file"
    (tmp_path / "cut.h5").write_bytes(trident.read_bytes()[:700])
    assert refusal_of(tiles_of, tmp_path / "cut.h5")[0] == "unreadable"
    assert refusal_of(tiles_of, write(tmp_path / "x.h5", imgs=(np.zeros(3), {})))[0] == "bad_coords"
    empty = write(tmp_path / "e.h5", coords=(np.empty((0, 2), np.int64), trident_attributes()))
    assert refusal_of(tiles_of, empty)[0] == "no_tissue"
    twice = write(tmp_path / "d.h5", coords=(CORNERS, clam_attributes(custom_downsample=2)))
    assert "custom_downsample" in refusal_of(tiles_of, twice)[1]


# Features


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
        (vectors(), np.concatenate([CORNERS[:3], CORNERS[:1]]), "bad_coords", "row 3: (512, 0) is there twice"),
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
