"""Coordinates made by other tools, written here as their documented forms are, taken as tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interop_theirs import (
    CORNERS,
    SIZE,
    SPACING,
    UNHURRIED,
    clam_attributes,
    refusal_of,
    stamp_attributes,
    tiles_of,
    trident_attributes,
    vectors,
    without,
    write,
)

from histoweave.settings.tiles import Tiles
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, tile_attributes, write_tiles

TILES_1024 = Tiles(tile_px=256, target_mpp=1.0)  # 256 µm


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
        ([[7, 8], [0, 0], [7, 8]], "row 2: (7, 8) occurs twice"),
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


@pytest.mark.parametrize(
    ("stored", "largest", "words"),
    [
        ("f2", 2_048, "float16 is exact below 2048 only"),
        ("f4", 2**24 + 2, "float32 is exact below 16777216 only"),
        ("f8", 1e300, "farther out than any slide reaches"),
        ("f8", 1_000_000_001, "farther out than any slide reaches"),
        ("u8", 2**64 - 1, "farther out than any slide reaches"),
        ("i8", -(2**62), "farther out than any slide reaches"),
        ("f4", np.inf, "is not finite"),
    ],
)
def test_numbers_that_are_no_places_are_refused(tmp_path, stored, largest, words):
    coords = np.zeros((3, 2), stored)
    coords[1:, 0] = 512, largest
    attributes = trident_attributes(level0_width=2**31, level0_height=2**31)
    path = write(tmp_path / "c.h5", coords=(coords, attributes))
    status, reason = refusal_of(tiles_of, path, size_lv0=(2**31, 2**31))
    assert status == "bad_coords" and words in reason


@pytest.mark.parametrize("stored", ["f2", "f4", "f8", "u2", "i4", ">f4", ">u8"])
def test_every_type_that_holds_the_places_exactly_is_taken(tmp_path, stored):
    coords = np.array([[0, 0], [512, 0], [1024, 1536]])
    path = write(tmp_path / "c.h5", coords=(coords.astype(stored), trident_attributes()))
    assert tiles_of(path).coords.tolist() == coords.tolist()
