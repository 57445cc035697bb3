"""The one decoder of pictures: bit depths, colours, orientation, bounds, and what it does not open."""

import ast
import io
import os
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import EpsImagePlugin, Image
from running import ROOT

from histoweave.storage import pictures
from histoweave.storage.pictures import open_picture, read_picture
from histoweave.storage.refusal import Refusal

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
GREY = RGB[..., 0]
THREE = np.repeat(GREY[..., None], 3, axis=2)


def saved(picture, form="PNG", **options):
    data = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(data, form, **options)
    return io.BytesIO(data.getvalue())


def tiff(array, **options):
    data = io.BytesIO()
    tifffile.imwrite(data, array, **({"photometric": "minisblack"} | options))
    return io.BytesIO(data.getvalue())


def refusal_of(source, **more):
    with pytest.raises(Refusal) as caught:
        read_picture(source, name="p", **more)
    return caught.value


@pytest.mark.parametrize(("order", "photometric"), [("<", "minisblack"), (">", "minisblack"), ("<", "miniswhite")])
def test_sixteen_bits_are_scaled_and_white_is_where_the_file_says(order, photometric):
    values = GREY.astype(np.uint16) * 257
    stored = values if photometric == "minisblack" else 65535 - values
    got = read_picture(tiff(stored, byteorder=order, photometric=photometric), name="p")
    np.testing.assert_array_equal(got, THREE)


def test_rounding_is_to_the_nearest_of_256_steps():
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(every / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_picture(saved(every), name="p")[..., 0], expected)


def twelve_bit_tiff(values):
    """A TIFF of packed 12-bit grey, (H,W) with W even, as cameras write it."""
    height, width = values.shape
    first, second = values[:, ::2].astype(np.uint32), values[:, 1::2].astype(np.uint32)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8).tobytes()
    tags = [(256, 3, width), (257, 3, height), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 3, height), (279, 4, len(packed))]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in tags)
    return io.BytesIO(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory + bytes(4))


def test_twelve_bits_fill_the_range_of_twelve_bits():
    values = np.random.default_rng(1).integers(0, 4096, (16, 24))
    got = read_picture(twelve_bit_tiff(values), name="p")
    np.testing.assert_array_equal(got[..., 0], np.rint(values * 255 / 4095).astype(np.uint8))


@pytest.mark.parametrize("brightest", [0, 255, 1023, 4095, 8191, 16383])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_fewer_bits_stored_as_sixteen_are_no_black_picture(brightest, channels):
    values = np.linspace(0, brightest, GREY.size).reshape(GREY.shape).astype(np.uint16)
    opaque = np.full_like(values, 65535)
    pixels = np.dstack([values] * (1 if channels < 3 else 3) + [opaque] * (channels in (2, 4))).squeeze()
    sources = [io.BytesIO(imagecodecs.png_encode(pixels))]
    if channels != 2:  # Pillow opens no grey TIFF of 16 bits with transparency
        colour = {"photometric": "rgb"} if channels > 2 else {}
        sources.append(tiff(pixels, **colour, **({"extrasamples": ["unassalpha"]} if channels == 4 else {})))
    for source in sources:
        said = refusal_of(source)
        assert said.status == "unreadable" and "fewer bits" in said.reason


def test_deep_colour_above_a_quarter_of_its_range_is_taken():
    for full in (65535, 20000):
        values = (RGB.astype(np.uint32) * full // 255).astype(np.uint16)
        for source in (
            tiff(values, photometric="rgb"),
            io.BytesIO(imagecodecs.png_encode(values)),
        ):
            np.testing.assert_array_equal(read_picture(source, name="p"), values >> 8)


@pytest.mark.parametrize("more", [{}, {"compression": "deflate"}, {"tile": (16, 16)}])
def test_channels_of_sixteen_bits_one_after_the_other_are_no_noise(more):
    planes = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
    options = {"photometric": "rgb", "planarconfig": "separate"} | more
    np.testing.assert_array_equal(read_picture(tiff(planes, **options), name="p"), RGB)
    assert "one after the other" in refusal_of(tiff(planes.astype(np.uint16) * 257, **options)).reason


def test_numbers_that_are_no_light_are_refused():
    for values in (GREY.astype(np.float32), GREY.astype(np.int32), GREY.astype(np.int16)):
        assert "8 bits per channel" in refusal_of(tiff(values)).reason
    assert "8 bits per channel" in refusal_of(tiff(GREY.astype(np.float64))).reason


def test_other_colours_become_rgb():
    whole = Image.fromarray(RGB)
    for mode in ("L", "1", "P", "CMYK"):
        picture = whole.convert(mode)
        got = read_picture(saved(picture, "TIFF"), name="p")
        np.testing.assert_array_equal(got, np.asarray(picture.convert("RGB")))
    deep = tiff(RGB.astype(np.uint16) * 257, photometric="rgb")
    assert np.abs(read_picture(deep, name="p").astype(int) - RGB).max() <= 1
    half = Image.fromarray(GREY).convert("LA")
    half.putalpha(Image.fromarray(np.where(GREY > 99, 255, 0).astype(np.uint8)))
    np.testing.assert_array_equal(read_picture(saved(half), name="p"), np.where(THREE > 99, THREE, 255))
    half.putalpha(0)
    assert "transparent everywhere" in refusal_of(saved(half)).reason
    see_through = whole.quantize(4)
    got = read_picture(saved(see_through, transparency=0), name="p")
    first = np.asarray(see_through) == 0
    assert (got[first] == 255).all()
    np.testing.assert_array_equal(got[~first], np.asarray(see_through.convert("RGB"))[~first])


def test_transparency_of_a_large_picture_is_laid_on_white_as_of_a_small_one(monkeypatch):
    rgba = np.random.default_rng(2).integers(0, 256, (50, 30, 4), np.uint8)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    expected = np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    for strip in (1, 100, 10**6):
        monkeypatch.setattr(pictures, "_STRIP_PX", strip)
        np.testing.assert_array_equal(pictures.on_white(rgba), expected)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_once_as_its_orientation_says(form, orientation):
    smooth = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 32), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read_picture(saved(np.repeat(smooth[..., None], 3, 2), form, exif=exif), name="p")[..., 0]
    turned = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.T,
              6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90}[orientation]  # fmt: skip
    assert np.abs(got.astype(int) - turned(smooth)).max() < 12


LYING = {
    "L": (GREY, {}),
    "I;16": (GREY.astype(np.uint16) * 257, {}),
    "RGB": (RGB, {"photometric": "rgb"}),
    "RGBA": (np.dstack([RGB, np.full_like(GREY, 255)]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "CMYK": (np.dstack([RGB, GREY]), {"photometric": "separated"}),
}


@pytest.mark.parametrize("mode", LYING)
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("square", [False, True])
def test_a_plain_tiff_that_lies_on_its_side_is_read_from_its_path_too(tmp_path, mode, orientation, square):
    pixels, options = LYING[mode]
    pixels = pixels[:, : len(pixels)] if square else pixels
    upright = read_picture(tiff(pixels, **options), name="p")
    turned = {5: upright.swapaxes(0, 1), 6: np.rot90(upright, -1), 7: np.rot90(upright, 2).swapaxes(0, 1),
              8: np.rot90(upright)}[orientation]  # fmt: skip
    path = tmp_path / "p.tif"
    path.write_bytes(tiff(pixels, extratags=[(274, "H", 1, orientation, True)], **options).getvalue())
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read_picture(source, name="p"), turned)


def with_exif(block):
    """A JPEG whose EXIF block is `block`."""
    plain = saved(RGB, "JPEG").getvalue()
    body = b"Exif\0\0" + block
    return io.BytesIO(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:])


def entry(tag, kind, count, value):
    return struct.pack("<HHI4s", tag, kind, count, value)


def test_a_damaged_exif_block_costs_the_orientation_at_most():
    upright = np.asarray(Image.open(saved(RGB, "JPEG")))
    six = entry(0x0112, 3, 1, struct.pack("<HH", 6, 0))
    odd = [entry(0x011A, 7, 4, b"72.0"), entry(0x0110, 2, 4, b"abc\0"), entry(0x8769, 4, 1, struct.pack("<I", 1 << 30))]
    for beside in odd:
        got = read_picture(with_exif(b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + six + beside + bytes(4)), name="p")
        np.testing.assert_array_equal(got, np.rot90(upright, -1))
    for block in (b"", b"II", b"nonsense" * 9, b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + six):
        assert read_picture(with_exif(block), name="p").shape in ((40, 60, 3), (60, 40, 3))
    for value in (0, 9, 77):
        stated = entry(0x0112, 3, 1, struct.pack("<HH", value, 0))
        got = read_picture(with_exif(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + stated + bytes(4)), name="p")
        np.testing.assert_array_equal(got, upright)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp"])
def test_postscript_is_not_opened_whatever_it_is_called(tmp_path, monkeypatch, suffix):
    def start(*_, **__):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    path = tmp_path / f"cell.{suffix}"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(Refusal, match="JPEG, PNG, BMP or TIFF"):
        read_picture(path)


@pytest.mark.parametrize("form", ["GIF", "PPM", "ICO", "TGA", "PDF", "WEBP"])
def test_other_formats_are_refused_by_name(form):
    assert "JPEG, PNG, BMP or TIFF" in refusal_of(saved(RGB, form)).reason


def test_every_picture_of_the_product_is_opened_with_a_list_of_formats():
    calls = {}
    for path in [*(ROOT / "workflow").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            assert node.func.attr not in ("imread", "exif_transpose"), where
            if node.func.attr == "open" and getattr(node.func.value, "id", "") == "Image":
                calls[where] = [keyword.arg for keyword in node.keywords]
    assert calls and all("formats" in keywords for keywords in calls.values()), calls


def test_a_picture_of_too_many_pixels_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 2_000_000)
    huge = saved(Image.new("L", (3000, 1000)))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("was unpacked"))
    assert "more than 2 million px" in refusal_of(huge).reason
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own bound
    assert "million px" in refusal_of(huge).reason


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(Refusal, match="does not exist") as caught:
        read_picture(tmp_path / "none.png")
    assert caught.value.status == "missing_file"
    (tmp_path / "away.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refusal, match="a link to a place that does not exist"):
        read_picture(tmp_path / "away.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Refusal, match="neither a file nor a folder"):
        read_picture(tmp_path / "pipe.png")
    with pytest.raises(Refusal):
        read_picture(tmp_path)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(Refusal, match="Too many levels of symbolic links"):
        read_picture(tmp_path / "loop.png")


def test_a_refusal_is_one_printable_line_without_places_in_memory():
    said = Refusal("unreadable", "a\0b\n<_io.BytesIO object at 0x7f5bb2d71170> \udcff " + "x" * 9000)
    assert said.reason.startswith("a?b <...> ?") and len(said.reason) <= 500 and said.reason.isprintable()


def test_whatever_happens_while_a_picture_is_read_is_its_refusal():
    for error in (TypeError("odd"), KeyError(3), MemoryError(), ZeroDivisionError()):
        with (
            pytest.raises(Refusal, match=f"'p' cannot be read: {type(error).__name__}"),
            open_picture(saved(RGB), name="p"),
        ):
            raise error
