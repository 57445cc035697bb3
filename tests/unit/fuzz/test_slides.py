"""Damaged and hostile slides: whatever is in a file, a slide gets a status with one line, and memory stays bounded."""

import functools
import re
import struct
import tempfile
import zlib
from pathlib import Path

import cv2
import pytest
import tifffile
from fuzzing import answer, fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from leica_files import write_scn
from running import SHARED, needs_shared_data
from slide_scenes import SMALL_TILES, tissue_scene, write_slide

from histoweave.slides.reader import open_slide
from histoweave.slides.store import read_tiles
from histoweave.storage.refusal import Refusal
from histoweave.tiles.slide import tile_slide

STATUSES = {
    "ok", "unreadable", "no_mpp", "implausible_mpp", "too_coarse", "too_small", "not_brightfield", "odd_colours",
    "pen_marks", "no_tissue",
}  # fmt: skip
MOST_BYTES = 1_500_000_000
SCENE = tissue_scene(1.0)


def _tiff(path: Path) -> None:
    write_slide(path, SCENE, mpp=0.5, levels=2)


def _svs(path: Path) -> None:
    text = "Aperio Image Library v11\n320x256 [0,0 320x256] (64x64) JPEG|AppMag = 20|MPP = 0.5"
    form = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None, "software": False}
    tifffile.imwrite(path, SCENE, description=text, **form)


def _scn(path: Path) -> None:
    write_scn(path, SCENE)


def _picture(path: Path) -> None:
    cv2.imwrite(str(path), SCENE)


MADE = {"a.tiff": _tiff, "a.svs": _svs, "a.scn": _scn, "a.png": _picture, "a.jpg": _picture}
REAL = {
    "dicom.dcm": "camelyon_jpeg_dicom/multi_frame_jpeg_camelyon_challenge_image.dcm",
    "small.svs": "small.svs",
    "section.svs": "CMU-1-Small-Region.svs",
}


@functools.cache
def whole(name: str) -> bytes:
    """The bytes of an undamaged file."""
    if name in REAL:
        return (SHARED / "wsi_slides" / REAL[name]).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        MADE[name](path)
        return path.read_bytes()


@st.composite
def damages(draw):
    """What is done to a file: bytes set at places that crowd at its beginning and end, a piece lost, an early end."""
    place = st.one_of(st.floats(0, 1), st.floats(0, 0.02), st.floats(0.95, 1))
    values = st.one_of(
        st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"])
    )
    changes = draw(st.lists(st.tuples(place, values), max_size=12))
    lost = draw(st.one_of(st.none(), st.tuples(place, st.integers(1, 300))))
    end = draw(st.one_of(st.just(1.0), st.floats(0, 1)))
    return changes, lost, end


def damaged(data: bytes, damage) -> bytes:
    changes, lost, end = damage
    found = bytearray(data)
    for place, value in changes:
        at = int(place * (len(found) - 1))
        found[at : at + len(value)] = value
    if lost:
        at = int(lost[0] * len(found))
        del found[at : at + lost[1]]
    return bytes(found[: int(end * len(found))])


def memory_bytes(what: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most since it was last forgotten) of this process, which other tests have filled too."""
    return 1024 * int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def has_a_status(name: str, data: bytes, *, mpp: float | None) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most so far
    before = memory_bytes("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        out = {f"out_{form}": Path(folder) / f"out.{form}" for form in ("h5", "geojson", "png")}
        answer(lambda: open_slide(path).close(), Refusal)
        status = answer(
            lambda: tile_slide(slide="s", path=str(path), mpp=mpp, settings=SMALL_TILES, on_error="continue", **out)
        )
        found = read_tiles(out["out_h5"])
        assert status == found.status and status in STATUSES
        assert (
            bool(found.reason) == (status != "ok") and "\n" not in found.reason and " object at 0x" not in found.reason
        )
    assert memory_bytes("VmHWM") - before < MOST_BYTES


@fuzz(120)
@given(name=st.sampled_from(sorted(MADE)), damage=damages(), mpp=st.sampled_from([None, 0.5]))
def test_damaged_slides_have_a_status(name, damage, mpp):
    has_a_status(name, damaged(whole(name), damage), mpp=mpp)


@needs_shared_data
@fuzz(30)
@given(name=st.sampled_from(sorted(REAL)), damage=damages())
def test_damaged_real_slides_have_a_status(name, damage):
    has_a_status(name, damaged(whole(name), damage), mpp=0.5)


@fuzz(60)
@given(name=st.sampled_from(sorted(MADE)), data=st.binary(max_size=300), keep=st.integers(0, 24))
@example(name="a.svs", data=b"", keep=0)
def test_other_content_under_the_name_of_a_slide_has_a_status(name, data, keep):
    has_a_status(name, whole(name)[:keep] + data, mpp=0.5)


@pytest.mark.parametrize("claim", [2**31 - 1, 2**30])
@pytest.mark.parametrize("tags", [("ImageWidth",), ("ImageLength",), ("ImageWidth", "ImageLength")])
def test_a_small_file_that_claims_to_be_large_has_a_status(tmp_path, claim, tags):
    path = write_slide(tmp_path / "a.tiff", SCENE, mpp=0.5)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name in tags:
            offset = file.pages[0].tags[name].offset
            data[offset + 2 : offset + 4] = (4).to_bytes(2, "little")
            data[offset + 8 : offset + 12] = claim.to_bytes(4, "little")
    has_a_status("a.tiff", bytes(data), mpp=None)


def test_a_picture_that_unpacks_to_gigabytes_is_refused():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
        + chunk(b"IEND", b"")
    )
    has_a_status("a.png", data, mpp=0.5)
