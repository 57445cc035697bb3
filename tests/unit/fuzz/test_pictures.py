"""Damaged pictures and archives of every kind: each is read or refused in one line, and no more memory is taken."""

import functools
import io
import zipfile

import numpy as np
import pytest
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histoweave.cells.pictures import PictureReader, Place
from histoweave.storage.pictures import read_picture
from histoweave.storage.refusal import Refusal

RGB = np.random.default_rng(0).integers(0, 256, (24, 33, 3), np.uint8)


def exif():
    block = Image.Exif()
    block[0x0112], block[0x0110], block[0x011A] = 6, "a camera", 72.5
    block.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return block


# Format, mode, and what Pillow is told when it writes the picture.
KINDS = {
    "jpeg": ("JPEG", "RGB", {"exif": exif()}),
    "jpeg progressive": ("JPEG", "RGB", {"progressive": True}),
    "jpeg grey": ("JPEG", "L", {}),
    "jpeg cmyk": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGB", {"exif": exif()}),
    "png rgba": ("PNG", "RGBA", {}),
    "png palette": ("PNG", "P", {"transparency": 3}),
    "png 16": ("PNG", "I;16", {}),
    "tiff": ("TIFF", "RGB", {"exif": exif()}),
    "tiff lzw": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "tiff jpeg": ("TIFF", "RGB", {"compression": "jpeg"}),
    "tiff deflate": ("TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    "tiff packbits": ("TIFF", "P", {"compression": "packbits"}),
    "tiff g4": ("TIFF", "1", {"compression": "group4"}),
    "tiff 16": ("TIFF", "I;16", {}),
    "tiff float": ("TIFF", "F", {}),
    "bmp": ("BMP", "RGB", {}),
    "bmp palette": ("BMP", "P", {}),
}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@functools.cache
def encoded(kind):
    form, mode, options = KINDS[kind]
    if mode == "I;16":
        picture = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(RGB).convert(mode)
    data = io.BytesIO()
    picture.save(data, form, **options)
    return data.getvalue()


@st.composite
def damage(draw, whole, first=0):
    """`whole` cut short, with flipped bits, overwritten bytes, a part twice, or a part gone, from byte `first` on."""
    content = bytearray(whole)
    last = len(content) - 1
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(min(first, last), last))
        match draw(st.sampled_from(["flip", "flip", "byte", "extreme", "cut", "drop", "twice", "header"])):
            case "flip":
                content[min(at, len(content) - 1)] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                content[min(at, len(content) - 1)] = draw(st.integers(0, 255))
            case "extreme":
                value = draw(
                    st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0"])
                )
                content[at : at + len(value)] = value
            case "header":  # sizes, offsets and tags lie in front
                content[min(draw(st.integers(0, 200)), len(content) - 1)] = draw(st.sampled_from([0, 1, 127, 128, 255]))
            case "cut":
                del content[max(1, at) :]
            case "drop":
                del content[max(1, at) : at + draw(st.integers(1, 64))]
            case "twice":
                content[at:at] = content[at : at + draw(st.integers(1, 64))]
    return bytes(content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_picture_is_read_or_refused(kind):
    found = answer(lambda: read_picture(io.BytesIO(encoded(kind)), name="p"), Refusal)
    if KINDS[kind][1] == "F":
        assert "8 bits per channel" in found
    else:
        assert found.shape[2] == 3 and sorted(found.shape[:2]) == [24, 33]


@pytest.mark.filterwarnings("ignore")
@fuzz(900)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_damaged_pictures(kind, data):
    content = data.draw(damage(encoded(kind)))
    found = answer(lambda: read_picture(io.BytesIO(content), name="p"), Refusal)
    if isinstance(found, np.ndarray):
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
    else:
        assert found.startswith("unreadable: 'p' ")
        assert answer(lambda: read_picture(io.BytesIO(content), name="p"), Refusal) == found  # the same in equal runs


@pytest.mark.filterwarnings("ignore")
@fuzz(100)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b"%!PS"]),
)
def test_any_bytes(content, start):
    answer(lambda: read_picture(io.BytesIO(start + content), name="p"), Refusal)


@functools.cache
def archive(method):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as out:
        out.writestr("cell.png", encoded("png"))
        out.writestr("folder/cell.jpg", encoded("jpeg"))
    return data.getvalue()


@pytest.mark.filterwarnings("ignore")
@fuzz(250)
@given(st.sampled_from(METHODS), st.data())
def test_damaged_archives(tmp_path, method, data):
    path = tmp_path / "cells.zip"
    path.write_bytes(data.draw(damage(archive(method))))
    with PictureReader(edge_px=8, crop=1.0) as reader:
        for member in ("cell.png", "folder/cell.jpg", data.draw(st.text(max_size=20))):
            found = answer(lambda member=member: reader.read(Place(str(path), member)), Refusal)
            assert isinstance(found, np.ndarray) or found.startswith(("unreadable_cell: ", "missing_file: "))
