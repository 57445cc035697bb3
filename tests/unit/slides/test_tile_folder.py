"""Folders of ready-made tiles: which pictures are tiles, where they lie, and at which scale."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles, write_tiles
from histoweave.slides.tile_folder import read_tile_image, tile_folder
from histoweave.slides.tile_names import are_positions, are_rows_and_columns, named_places
from histoweave.slides.tile_reader import TileReader
from histoweave.storage.folders import file_of
from histoweave.storage.refusal import Refusal

PX = 32
SETTINGS = Tiles(tile_px=PX, target_mpp=0.5)
CORNERS = [(640 + PX * (n % 4), 320 + PX * (n // 4)) for n in range(16)]
QUPATH = "s [x={x},y={y},w=32,h=32]"


def picture(number, px=PX, mode="RGB"):
    pixels = np.random.default_rng(number).integers(0, 256, (px, px, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write(folder, form="s_{x}_{y}", corners=CORNERS, mode="RGB", suffix="png", px=PX):
    folder.mkdir(exist_ok=True, parents=True)
    names = [f"{form.format(x=x, y=y)}.{suffix}" for x, y in corners]
    for number, name in enumerate(names):
        picture(number, px, mode).save(folder / name)
    return names


def taken(folder, mpp=0.5, settings=SETTINGS):
    table, area, montage = tile_folder(slide="s", folder=folder, mpp=mpp, settings=settings)
    assert area.area == pytest.approx(len(np.unique(table.coords, axis=0)) * table.attributes["patch_size_level0"] ** 2)
    assert montage.ndim == 3 and montage.dtype == np.uint8
    return table


def refused(folder, **more):
    with pytest.raises(Refusal) as caught:
        taken(folder, **more)
    return caught.value


def places(table):
    return dict(zip(table.tile_file, map(tuple, table.coords.tolist()), strict=True))


@pytest.mark.parametrize(
    "form", ["s_{x}_{y}", "{x}_{y}", "s ({x},{y})", "s_({x}, {y})", QUPATH, "s [d=1,x={x},y={y},w=32,h=32]", "s [x={x},y={y}]"]
)  # fmt: skip
def test_positions_are_those_of_the_names(tmp_path, form):
    names = write(tmp_path, form)
    table = taken(tmp_path)
    assert places(table) == dict(zip(names, CORNERS, strict=True)) and table.reason == ""


def test_masks_thumbnails_and_other_pictures_are_left_out_and_said(tmp_path):
    names = write(tmp_path, QUPATH)
    for name in names:
        mask = Image.fromarray(np.zeros((PX, PX), np.uint8))
        mask.save(tmp_path / name.replace(".png", "-labelled.png"))
    picture(0, 300).save(tmp_path / "thumbnail.png")
    picture(0).save(tmp_path / "overview.jpg")  # of the tiles' size, without a position
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.png").write_text("x")
    table = taken(tmp_path)
    assert places(table) == dict(zip(names, CORNERS, strict=True))
    assert table.reason.startswith(
        "19 pictures are no tiles and were left out, such as 'broken.png' (tiles: 32 x 32 px"
    )


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_masks_beside_tiles_of_the_same_position(tmp_path, mode):
    names = write(tmp_path, QUPATH, suffix="jpg")
    write(tmp_path, QUPATH, suffix="png", mode=mode)
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names) and table.reason.startswith("16 pictures are no tiles")


def test_two_tiles_in_one_place_are_refused_by_name(tmp_path):
    write(tmp_path, "s_{x}_{y}")
    write(tmp_path, "other_{x}_{y}", CORNERS[:1])
    said = refused(tmp_path)
    assert (
        said.status == "bad_coords" and "'other_640_320.png' and 's_640_320.png' state the same position" in said.reason
    )


def test_hidden_files_are_not_seen_and_links_are_followed(tmp_path):
    names = write(tmp_path / "f")
    for name in names:
        (tmp_path / "f" / f"._{name}").write_bytes(b"\0\5\26\7" + bytes(78))
        (tmp_path / "links").mkdir(exist_ok=True)
        (tmp_path / "links" / name).symlink_to(tmp_path / "f" / name)
    for folder in ("f", "links"):
        table = taken(tmp_path / folder)
        assert sorted(table.tile_file) == sorted(names) and table.reason == ""


def test_a_tile_that_cannot_be_read_stays_a_tile(tmp_path):
    names = write(tmp_path)
    (tmp_path / names[3]).write_text("damaged")
    (tmp_path / names[4]).unlink()
    (tmp_path / names[4]).symlink_to(tmp_path / "nowhere")
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names)
    for name in names[3:5]:
        with pytest.raises(Refusal):
            read_tile_image(tmp_path / name)


@pytest.mark.parametrize("form", ["abc{x}", "tile_{x}_{y}", "{x}_{y}"])
def test_names_without_positions_are_laid_out_and_said(tmp_path, form):
    corners = CORNERS if form == "abc{x}" else [(n % 4, n // 4) for n in range(16)]  # rows and columns
    names = write(tmp_path, form, [*dict.fromkeys((x, 0 if form == "abc{x}" else y) for x, y in corners)])
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names) and len(np.unique(table.coords, axis=0)) == len(names)
    assert "the names state no positions" in table.reason


def test_numbers_of_files_are_no_positions(tmp_path):
    write(tmp_path, "patient_3_{y:04d}", [(3, n) for n in range(1, 30)])
    table = taken(tmp_path)
    assert "the names state no positions" in table.reason and (table.coords % PX == 0).all()


GRID = [(n % 5, n // 5) for n in range(20)]
SPARSE = [(3, 5), (40, 80), (70, 10), (100, 60), (12, 99), (55, 33), (90, 5), (77, 77)]
NO_POSITIONS = {
    "a sample of rows and columns": [f"s_{x}_{y}" for x, y in SPARSE],
    "a sample of a large slide's rows and columns": [f"s_({7 * x},{9 * y})" for x, y in SPARSE],
    "two of many rows and columns": ["s_3_5", "s_40_80"],
    "x, y, edge": [f"s_{224 * x}_{448 * y}_224" for x, y in GRID],
    "x, y, edge of one column": [f"s_2240_{448 * y}_224" for y in range(6)],
    "x, y, edge of one tile": ["s_2240_448_224"],
    "x, y, edge at level 0": [f"s_{448 * x}_{448 * y}_448" for x, y in GRID],
    "x, y, level": [f"s_{448 * x}_{448 * y}_0" for x, y in GRID],
    "x, y, width, height": [f"s_{448 * x}_{448 * y}_224_224" for x, y in GRID],
    "x, y, number": [f"s_{224 * (n % 40)}_{224 * (n // 40)}_{n}" for n in range(90)],
    "x, y, number of one row": [f"s_{224 * n}_0_{n + 1}" for n in range(9)],
    "camera": [f"IMG_20240105_10{15 + n}{7 * n % 60:02d}" for n in range(9)],
    "camera, hours apart": [f"IMG_20240105_{9 + n:02d}1530" for n in range(9)],
    "camera, short dates": [f"240105_{10 + n}{15 + 3 * n}00" for n in range(9)],
    "fractions of a px": [f"s [x={224 * n},y=12.5,w=448,h=448]" for n in range(4)],
    "fractions of a width": [f"s [x={224 * n},y=12,w=448.5,h=448]" for n in range(4)],
}


@pytest.mark.parametrize("names", NO_POSITIONS.values(), ids=NO_POSITIONS)
def test_numbers_that_are_no_positions_are_not_believed(names):
    found = named_places([Path(f"{name}.png") for name in names])
    assert not found or not are_positions(list(found.values()), edges=(224, 224))


def sampled(n, *, span=40_000, seed=0):
    return np.random.default_rng(seed).integers(0, span, (n, 2))


STEPS = np.array(GRID)
POSITIONS = {
    "a grid": STEPS * 224,
    "a grid with overlap": STEPS * 56 + 13,
    "a grid of rounded steps": np.rint(STEPS * 222.66).astype(int) + 5,
    "rounded steps of half a tile": np.rint(STEPS * 111.4).astype(int),
    "one row": [(224 * n, 448) for n in range(7)],
    "one column": [(0, 222 * n) for n in range(7)],
    "one tile": [(123, 4567)],
    "a sample": sampled(30),
    "many on a large slide": sampled(2000, span=200_000),
    "two pieces with grids of their own": [*STEPS * 224 + 1001, *STEPS * 224 + 9017],
}


@pytest.mark.parametrize("corners", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("form", ["s_{}_{}", "TCGA-A2-A04R_{}_{}", "{}_{}", "s ({},{})", "s [x={},y={},w=224,h=224]"])
def test_positions_in_px_are_believed(corners, form):
    found = named_places([Path(form.format(x, y) + ".png") for x, y in corners])
    assert [(place.x, place.y) for place in found.values()] == [tuple(corner) for corner in np.array(corners).tolist()]
    assert are_positions(list(found.values()), edges=(224, 224))


def test_pictures_of_many_sizes_are_no_tiles(tmp_path):
    for number in range(6):
        picture(number, 20 + number).save(tmp_path / f"p{number}.png")
    assert refused(tmp_path).status == "bad_tiles"


def test_tiles_that_are_not_square_are_refused(tmp_path):
    for x, y in CORNERS:
        picture(0).resize((PX, PX // 2)).save(tmp_path / f"s_{x}_{y}.png")
    said = refused(tmp_path)
    assert said.status == "bad_tiles" and "32 x 16 px" in said.reason


def test_tiles_cut_off_at_the_border_are_left_out(tmp_path):
    names = write(tmp_path, QUPATH)
    picture(0).resize((7, PX)).save(tmp_path / "s [x=900,y=320,w=7,h=32].png")
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names) and "[x=900,y=320,w=7,h=32]" in table.reason


def test_grey_tiles_of_sixteen_bits_show_what_they_hold(tmp_path):
    for number, (x, y) in enumerate(CORNERS):
        grey = np.asarray(picture(number).convert("L"))
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / f"s_{x}_{y}.png")
    table = taken(tmp_path)
    for name in table.tile_file:
        number = CORNERS.index(places(table)[name])
        np.testing.assert_array_equal(
            read_tile_image(tmp_path / name)[..., 1], np.asarray(picture(number).convert("L"))
        )


@pytest.mark.parametrize(
    ("mpp", "px", "form", "status", "words"),
    [
        (0.5, 32, QUPATH, "ok", ""),
        (0.51, 32, QUPATH, "ok", ""),
        (None, 32, QUPATH, "ok", "µm per px are not known"),
        (float("nan"), 32, QUPATH, "ok", "µm per px are not known"),
        (0.25, 32, QUPATH, "bad_coords", "0.25 µm per px"),
        (1.0, 32, QUPATH, "bad_coords", "tiles.target_mpp: 1"),
        (0.25, 32, "s [d=2,x={x},y={y},w=64,h=64]", "ok", ""),  # level 0 has 0.25, the tiles have 0.5
        (0.5, 32, "s [d=2,x={x},y={y},w=64,h=64]", "bad_coords", "1 µm per px"),
        (0.25, 64, "s_{x}_{y}", "ok", ""),  # shrunk by half they are what is asked for
        (0.5, 64, "s_{x}_{y}", "ok", "the tiles are 64 px wide, and tiles.tile_px is 32"),
    ],
)
def test_the_scale_is_the_one_that_is_asked_for_or_said(tmp_path, mpp, px, form, status, words):
    write(tmp_path, form, [(2 * x, 2 * y) for x, y in CORNERS], px=px)
    if status == "ok":
        table = taken(tmp_path, mpp=mpp)
        assert words in table.reason and bool(words) == bool(table.reason)
    else:
        said = refused(tmp_path, mpp=mpp)
        assert said.status == status and words in said.reason


def test_folders_that_cannot_be_used(tmp_path, not_mine):
    for folder, status in ((not_mine / "closed", "unreadable"), (not_mine / "none", "missing_file")):
        assert refused(folder).status == status


def test_nothing_to_take(tmp_path):
    assert refused(tmp_path).status == "no_tissue"
    (tmp_path / "._a.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "a.png")
    assert refused(tmp_path).status == "no_tissue"
    (tmp_path / "b.png").write_bytes(b"x")
    assert refused(tmp_path).status == "unreadable"


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=40, unique=True), st.integers(1, 8)
)
def test_a_grid_of_tiles_is_told_from_numbers_of_rows_and_columns(cells, overlap_eighths):
    cells = np.array(cells)
    step = 224 - 224 * (overlap_eighths - 1) // 8  # up to seven eighths of overlap
    assert not are_rows_and_columns(cells * step + 10_000, edge=224)
    neighbours = np.array([(x, y) for x in range(4) for y in range(4)])
    assert are_rows_and_columns(neighbours, edge=224)


def test_what_is_not_read_is_said(tmp_path):
    (tmp_path / "tiles").mkdir()
    assert "of its 1 folders" in refused(tmp_path).reason
    write(tmp_path)
    (tmp_path / "s_0_0.webp").write_bytes(b"x")
    assert taken(tmp_path).reason.startswith("1 picture is no tile and was left out, such as 's_0_0.webp'")


def test_names_may_hold_anything(tmp_path):
    odd = [
        tmp_path / name
        for name in ("9" * 80 + "_1.png", "_.png", "[x=1,y=2.png", "_1_٣.png", "a_1_2_.png", "x=1,y=2].png")
    ]
    found = named_places(odd)
    assert all(0 <= place.x < 10**9 and 0 <= place.y < 10**9 for place in found.values())


def test_a_folder_of_more_pictures_is_named(tmp_path):
    names = write(tmp_path)
    for empty in ("notes", ".hidden"):
        (tmp_path / empty).mkdir()
    assert taken(tmp_path).reason == ""
    write(tmp_path / "part2", corners=CORNERS[:9])
    write(tmp_path / ".hidden")
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names)
    assert table.reason == "the folder 'part2' in it was not read (9 pictures)"


def test_tiles_with_a_palette_among_others_are_tiles(tmp_path):
    names = write(tmp_path)
    for name in names[3:6]:
        picture(1).quantize(16).save(tmp_path / name)
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names) and table.reason == ""
    picture(1).quantize(4).save(tmp_path / names[0].replace("s_", "mask_"))  # one where a tile is: these are masks
    assert taken(tmp_path).reason.startswith("4 pictures are no tiles")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_tiles_that_show_nothing_are_left_out_and_said(tmp_path, mode):
    names = write(tmp_path, mode=mode)
    clear = Image.new(mode, (PX, PX), (0,) * len(mode))
    for name in names[:2]:
        clear.save(tmp_path / name)
    table = taken(tmp_path)
    assert sorted(table.tile_file) == sorted(names[2:])
    assert table.reason.startswith("2 pictures are transparent everywhere and were left out, such as 's_")
    for name in names:
        clear.save(tmp_path / name)
    assert refused(tmp_path).status == "no_tissue"


def test_damaged_tiles_with_transparency_stay_tiles(tmp_path):
    names = write(tmp_path, mode="RGBA")
    whole = (tmp_path / names[0]).read_bytes()
    (tmp_path / names[0]).write_bytes(whole[: len(whole) // 2])
    assert sorted(taken(tmp_path).tile_file) == sorted(names)


def test_names_of_other_alphabets_are_kept(tmp_path):
    names = [f"M\udcfcller \u4e2d_{x}_{y}.png" for x, y in CORNERS]  # a byte of Latin-1, and a sign of UTF-8
    for number, name in enumerate(names):
        picture(number).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
    picture(0, 300).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "\udce9.png")
    table = taken(tmp_path)
    assert table.reason.startswith("1 picture is no tile and was left out, such as '\\xe9.png'")
    write_tiles(tmp_path / "t.h5", table)
    assert read_tiles(tmp_path / "t.h5").tile_file == table.tile_file
    assert all(name.startswith("M\\xfcller \u4e2d_") for name in table.tile_file)
    assert {file_of(tmp_path, name).name for name in table.tile_file} == set(names)
    with TileReader(path=tmp_path, tiles=table, edge_px=PX, interpolation="bilinear") as reader:
        images, readable = reader.read(np.arange(len(names)))
    assert readable.all()
    for image, corner in zip(images, map(tuple, table.coords.tolist()), strict=True):
        np.testing.assert_array_equal(image, np.asarray(picture(CORNERS.index(corner))))
    (tmp_path / "a\\xfc.png").write_bytes(b"x")  # a name that only looks like that
    assert file_of(tmp_path, "a\\xfc.png").is_file()
