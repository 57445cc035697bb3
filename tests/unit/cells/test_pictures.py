"""Pictures of cells: formats, archives, boxes, borders, and pictures that cannot be used."""

from __future__ import annotations

import io
import threading
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histoweave.cells.pictures import PictureReader, Place, cut_out, decode
from histoweave.storage.refusal import Refusal

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(array, *, form="PNG", mode=None, **options):
    data = io.BytesIO()
    Image.fromarray(array, mode).save(data, form, **options)
    return io.BytesIO(data.getvalue())


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_forms_come_back_as_they_were(form):
    np.testing.assert_array_equal(decode(encoded(RGB, form=form), name="x"), RGB)


def test_jpeg_is_what_pillow_reads():
    data = encoded(RGB, form="JPEG")
    expected = np.asarray(Image.open(io.BytesIO(data.getvalue())))
    np.testing.assert_array_equal(decode(data, name="x"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_exif_is_followed(orientation):
    turned = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
              6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = decode(encoded(RGB, form="PNG", exif=exif), name="x")
    np.testing.assert_array_equal(got, turned[orientation](RGB))


def test_other_pixels_become_8_bit_rgb():
    grey = RGB[..., 0]
    three = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(encoded(grey), name="x"), three)
    np.testing.assert_array_equal(decode(encoded(grey.astype(np.uint16) * 257), name="x"), three)
    np.testing.assert_array_equal(decode(encoded(grey.astype(np.uint16) * 257, form="TIFF"), name="x"), three)
    clear = np.dstack([RGB, np.full(RGB.shape[:2], 0, np.uint8)])
    clear[:20, :, 3] = 255
    got = decode(encoded(clear), name="x")
    np.testing.assert_array_equal(got[:20], RGB[:20])
    assert (got[20:] == 255).all()
    palette = Image.fromarray(RGB).quantize(16)
    data = io.BytesIO()
    palette.save(data, "PNG")
    np.testing.assert_array_equal(decode(io.BytesIO(data.getvalue()), name="x"), np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(RGB).convert("CMYK")
    data = io.BytesIO()
    cmyk.save(data, "TIFF")
    np.testing.assert_array_equal(decode(io.BytesIO(data.getvalue()), name="x"), np.asarray(cmyk.convert("RGB")))


def test_what_cannot_be_read_is_refused():
    whole = encoded(RGB, form="JPEG").getvalue()
    floats = encoded(RGB[..., 0].astype(np.float32), form="TIFF").getvalue()
    for data, words in (
        (whole[: len(whole) // 2], "trunc"),
        (b"no picture", "identify"),
        (b"", "identify"),
        (floats, "8 bits"),
    ):
        with pytest.raises(Refusal, match=words) as caught:
            decode(io.BytesIO(data), name="cell.jpg")
        assert caught.value.status == "unreadable_cell" and "cell.jpg" in caught.value.reason


def by_hand(picture, box, crop):
    """Pixel by pixel what `cut_out` does."""
    height, width = picture.shape[:2]
    xmin, ymin, xmax, ymax = box
    edge = max(1, int(np.floor(max(xmax - xmin, ymax - ymin) * crop + 0.5)))
    left = int(np.floor((xmin + xmax) / 2 - edge / 2 + 0.5))
    top = int(np.floor((ymin + ymax) / 2 - edge / 2 + 0.5))
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    fill = np.median(frame, axis=0).astype(np.uint8)
    cell = np.empty((edge, edge, 3), np.uint8)
    for row in range(edge):
        for column in range(edge):
            y, x = top + row, left + column
            cell[row, column] = picture[y, x] if 0 <= y < height and 0 <= x < width else fill
    return cell


@given(
    x=st.floats(0, 59), y=st.floats(0, 39), width=st.floats(1, 40), height=st.floats(1, 40),
    crop=st.sampled_from([1.0, 0.7, 0.3]),
)  # fmt: skip
def test_boxes_are_square_around_their_centre_and_padded(x, y, width, height, crop):
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    np.testing.assert_array_equal(cut_out(RGB, box, crop=crop), by_hand(RGB, box, crop))


def test_a_box_inside_is_a_slice():
    np.testing.assert_array_equal(cut_out(RGB, (10, 5, 30, 25), crop=1.0), RGB[5:25, 10:30])
    np.testing.assert_array_equal(cut_out(RGB, (10, 5, 30, 25), crop=0.5), RGB[10:20, 15:25])
    np.testing.assert_array_equal(cut_out(RGB, (10, 10, 30, 20), crop=1.0), RGB[5:25, 10:30])


def test_a_whole_picture_keeps_its_form_and_its_middle():
    assert cut_out(RGB, None, crop=1.0) is not None
    np.testing.assert_array_equal(cut_out(RGB, None, crop=1.0), RGB)
    np.testing.assert_array_equal(cut_out(RGB, None, crop=0.5), RGB[10:30, 15:45])


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (9, 5, 9, 20), (20, 20, 10, 30), (100, 5, 120, 25), (-30, 5, -10, 25)])
def test_bad_boxes(box):
    with pytest.raises(Refusal) as caught:
        cut_out(RGB, box, crop=1.0)
    assert caught.value.status == "bad_box"


def test_the_reader_resizes_and_opens_an_archive_once_per_thread(tmp_path, monkeypatch):
    archive, file = tmp_path / "cells.zip", tmp_path / "cell.png"
    with zipfile.ZipFile(archive, "w") as out:
        for number in range(6):
            out.writestr(f"{number}.png", encoded(np.roll(RGB, number, axis=1)).getvalue())
    Image.fromarray(RGB).save(file)
    opened = []
    real = zipfile.ZipFile

    def counted(path, *rest):
        opened.append(threading.get_ident())
        return real(path, *rest)

    monkeypatch.setattr("histoweave.cells.pictures.zipfile.ZipFile", counted)
    with PictureReader(edge_px=32, crop=1.0) as reader:
        for number in range(6):
            picture = reader.read(Place(str(archive), f"{number}.png", (0, 0, 32, 32)))
            np.testing.assert_array_equal(picture, np.roll(RGB, number, axis=1)[:32, :32])
        assert reader.read(Place(str(file))).shape == (32, 32, 3)
        thread = threading.Thread(target=lambda: reader.read_all([Place(str(archive), "0.png")] * 3))
        thread.start()
        thread.join()
    assert len(opened) == len(set(opened)) == 2


def test_one_bad_picture_does_not_stop_the_others(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    (tmp_path / "bad.zip").write_bytes(b"nonsense")
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as out:
        out.writestr("a.png", encoded(RGB).getvalue())
    damaged = bytearray((tmp_path / "cells.zip").read_bytes())
    damaged[60:90] = bytes(30)
    (tmp_path / "damaged.zip").write_bytes(damaged)
    places = [
        Place(str(tmp_path / "bad.png")), Place(str(tmp_path / "none.png")), Place(str(tmp_path / "none.zip"), "a"),
        Place(str(tmp_path / "bad.zip"), "a"), Place(str(tmp_path / "cells.zip"), "b.png"),
        Place(str(tmp_path / "damaged.zip"), "a.png"), Place(str(tmp_path / "good.png"), box=(1, 1, 1, 1)),
        Place(str(tmp_path / "good.png")),
    ]  # fmt: skip
    with PictureReader(edge_px=16, crop=1.0) as reader:
        *refused, good = reader.read_all(places)
    assert [refusal.status for refusal in refused] == [
        "unreadable_cell", "missing_file", "missing_file", "unreadable_cell", "missing_file", "unreadable_cell", "bad_box",
    ]  # fmt: skip
    assert good.shape == (16, 16, 3)


def test_two_members_of_one_name_are_no_picture(tmp_path):
    archive = tmp_path / "cells.zip"
    with zipfile.ZipFile(archive, "w") as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("a.png", "twice.png", "twice.png"):
            out.writestr(name, encoded(RGB).getvalue())
    with PictureReader(edge_px=16, crop=1.0) as reader:
        good, refused, missing = reader.read_all([Place(str(archive), f"{n}.png") for n in ("a", "twice", "b")])
    assert good.shape == (16, 16, 3)
    assert refused.status == "unreadable_cell" and "'twice.png'" in refused.reason and "occurs twice" in refused.reason
    assert missing.status == "missing_file"


def test_an_encrypted_member_is_refused_in_words(tmp_path):
    archive = tmp_path / "cells.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("a.png", encoded(RGB).getvalue())
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # flags of the member's own header
    content[content.index(b"PK\1\2") + 8] |= 1  # and of the list's
    archive.write_bytes(content)
    with PictureReader(edge_px=16, crop=1.0) as reader, pytest.raises(Refusal) as caught:
        reader.read(Place(str(archive), "a.png"))
    assert caught.value.status == "unreadable_cell" and "'a.png'" in caught.value.reason
    assert "is encrypted" in caught.value.reason and "<" not in caught.value.reason
