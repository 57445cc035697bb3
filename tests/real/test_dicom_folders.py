"""Folders of real DICOM files as they arrive: hidden twins, other slides, no suffixes, one file after the other."""

import shutil

from running import SHARED, needs_shared_data

from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles
from histoweave.tiles.tile_slides import tile_shard

PYRAMID, OTHER = SHARED / "wsi_slides/cmu1_dicom_pyramid", SHARED / "wsi_slides/boxes_0_dicom"
pytestmark = needs_shared_data


def tiled(folder, path):
    """Tile one slide, unless a record says that it is done; its outcome and the size of level 0."""
    index = folder / "shards/0-of-1.json"
    given = {"slide": "s", "path": str(path), "mpp": 0.5, "coords": "", "features": ""}
    (record,) = tile_shard([given], index=index, settings=Tiles(), on_error="continue", code="c", workers=1)
    attributes = read_tiles(folder / "s.h5").attributes
    return record.outcome, (attributes["level0_width"], attributes["level0_height"])


def test_twins_suffixes_and_another_slide(tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(PYRAMID, folder)
    plain, size = tiled(tmp_path / "plain", folder)
    assert min(size) > 1000
    for file in sorted(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(b"\0\5\26\7" + bytes(78))
    assert tiled(tmp_path / "twins", folder) == (plain, size)
    for file in folder.glob("*.dcm"):
        file.rename(file.with_suffix(""))
    bare, bare_size = tiled(tmp_path / "bare", folder)
    assert (bare.status, bare.n_tiles, bare_size) == (plain.status, plain.n_tiles, size)
    shutil.copy(next(OTHER.iterdir()), folder / "a_first_one.dcm")
    two, _ = tiled(tmp_path / "two", folder)
    assert two.status == "unreadable" and "2 DICOM series" in two.reason and "a_first_one.dcm" in two.reason


def test_a_series_that_arrives_file_by_file(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(PYRAMID / "level-3-frames-0-1.dcm", folder)
    _, small = tiled(tmp_path / "out", folder / "level-3-frames-0-1.dcm")
    for file in PYRAMID.iterdir():
        shutil.copy(file, folder)
    _, whole = tiled(tmp_path / "out", folder / "level-3-frames-0-1.dcm")
    assert max(small) < max(whole) == max(tiled(tmp_path / "fresh", folder)[1])
