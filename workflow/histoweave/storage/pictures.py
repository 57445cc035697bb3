"""The one decoder of pictures: of cells, of ready-made tiles, and of the product's own thumbnails.

Pictures are opened with a list of formats: Pillow would start other programs for some of the rest (Ghostscript for
PostScript, whatever the file is called).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from histoweave.storage.folders import check_readable
from histoweave.storage.refusal import Refusal, words_of

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
MAX_PIXELS = 178_000_000  # about where Pillow itself speaks of decompression bombs
_STRIP_PX = 4_000_000
_DARK_SHARE = 4  # deep pixels that stay below this part of their range were stored with fewer bits
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES = 274, 258, 262, 284
_WHITE_IS_ZERO, _ONE_AFTER_THE_OTHER = 0, 2
# What brings a picture upright, by the EXIF orientation that it states.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


class NoPicture(Refusal):
    """The refusal of a file in none of the formats."""


@contextlib.contextmanager
def open_picture(
    source: Path | str | BinaryIO, *, name: str = "", status: str = "unreadable", formats: tuple[str, ...] = FORMATS
) -> Iterator[ImageFile.ImageFile]:
    """Open a picture of at most 178 million px.

    Whatever goes wrong here or while the block works on the picture is this picture's refusal: decoders raise nearly
    every exception on damaged files.

    Parameters
    ----------
    name: what the refusal calls it; the file's name if empty.
    status: of the refusal.
    formats: as Pillow names them.

    Raises
    ------
    Refusal
        `missing_file`, or `status`; as `NoPicture` for a file in none of the formats.
    """
    if isinstance(source, (str, Path)):
        check_readable(source, status=status)
        name = name or Path(source).name
    try:
        # A file that Pillow opens itself may be mapped to memory, and TIFF that lies on its side is then garbled.
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open(source, "rb")) if isinstance(source, (str, Path)) else source
            image = opened.enter_context(Image.open(file, formats=formats))
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Refusal:
        raise
    except UnidentifiedImageError:
        raise NoPicture(
            status,
            f"'{name}' cannot be read: cannot identify it as a JPEG, PNG, BMP or TIFF picture of a usual kind; save it as "
            "one with 8 bits per channel",
        ) from None
    except Image.DecompressionBombError:
        raise Refusal(
            status,
            f"'{name}' has more than {MAX_PIXELS // 1_000_000} million px; cut it into smaller pictures, or save a slide as "
            "a pyramidal TIFF",
        ) from None
    except Exception as error:
        words = words_of(error)
        damaged = words.startswith("decoder error")  # and a number is all that Pillow says then
        raise Refusal(
            status, f"'{name}' cannot be read: {f'its data are damaged ({words})' if damaged else words}"
        ) from None


def read_picture(source: Path | str | BinaryIO, *, name: str = "", status: str = "unreadable") -> np.ndarray:
    """The pixels of a picture: (H,W,3) uint8 RGB, turned as its EXIF orientation says.

    Grey becomes three equal channels, palettes and CMYK become RGB, transparency is laid on white; of several pages
    the first counts. Channels of 9 to 16 bits are scaled from the full range of their bits, such as 0 to 65,535. If
    nothing in them is brighter than a quarter of that, they were stored with fewer bits than the file says, and the
    picture is refused.

    Raises
    ------
    Refusal
        as `open_picture`; also for pixels that are 32-bit or floating-point numbers, for channels of 16 bits that lie
        one after the other (Pillow reads them as noise), and for a picture that is transparent everywhere.
    """
    with open_picture(source, name=name, status=status) as image:
        channels = _channels(image)
        if channels.shape[2] == 3:
            return channels
        if not channels[..., 3].any():
            raise ValueError("it is transparent everywhere; save it without transparency")
        return on_white(channels)


def read_channels(source: Path | str | BinaryIO, *, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """As `read_picture`, but transparency is kept: (H,W,3) or (H,W,4) uint8 RGB or RGBA."""
    with open_picture(source, formats=formats) as image:
        return _channels(image)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Lay (H,W,4) uint8 RGBA on white: (H,W,3) uint8."""
    if rgba[..., 3].min() == 255:
        return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP_PX // rgba.shape[1])  # floats of a whole large picture would take gigabytes
    for top in range(0, len(rgba), rows):
        strip = rgba[top : top + rows]
        alpha = strip[..., 3:].astype(np.float32) / 255
        rgb[top : top + rows] = np.rint(strip[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return rgb


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of a picture; 1 where none is stated or the block is damaged: the pixels are still whole."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _channels(image: ImageFile.ImageFile) -> np.ndarray:
    """The pixels of an opened picture, upright: (H,W,3) uint8, or (H,W,4) if some may be transparent."""
    deep_colour = _has_deep_colour(image)
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    pixels = _as_stored(image, deep_colour=deep_colour)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _has_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether a picture that is not yet loaded has several channels of 16 bits, of which Pillow keeps the upper 8."""
    tags = _tags(image)
    several = len(image.getbands()) > 1
    if several and tags.get(_PLANES) == _ONE_AFTER_THE_OTHER and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:
        raise ValueError("its 16-bit channels are stored one after the other (planar); save it with 8 bits per channel")
    return several and any(";16" in str(tile.args) for tile in image.tile)


def _tags(image: Image.Image) -> Mapping:
    """The tags of a TIFF, none for other formats."""
    return getattr(image, "tag_v2", {})


def _as_stored(image: Image.Image, *, deep_colour: bool) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return _from_deep_grey(image)
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers; save it with 8 bits per channel")
    if deep_colour:
        values = np.asarray(image)
        has_alpha = image.mode in ("LA", "RGBA", "RGBa")
        _check_range(int(values[..., : values.shape[2] - has_alpha].max(initial=0)) * 257, bits=16)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _from_deep_grey(image: Image.Image) -> np.ndarray:
    """Grey of 9 to 16 bits as (H,W,3) uint8."""
    tags = _tags(image)
    bits = min(16, max(9, int(tags.get(_BITS_PER_SAMPLE, (16,))[0])))
    full = 2**bits - 1
    values = np.asarray(image).astype(np.uint16)  # native byte order
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = full - np.minimum(values, full)
    _check_range(int(values.max(initial=0)), bits=bits)
    scaled = (np.arange(2**16, dtype=np.uint32) * 255 + full // 2) // full
    return np.repeat(np.minimum(scaled, 255).astype(np.uint8)[values][..., None], 3, axis=2)


def _check_range(brightest: int, *, bits: int) -> None:
    """Refuse a picture whose brightest value of `bits` bits leaves the upper ones empty."""
    full = 2**bits - 1
    if brightest <= full // _DARK_SHARE:
        raise ValueError(
            f"it has {bits} bits per channel, but nothing in it is above {brightest} of {full}: it seems to hold fewer "
            "bits; save it with 8 bits per channel"
        )


def resize(image: np.ndarray, *, width: int, height: int, enlarge: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Resize with area averaging when shrinking and OpenCV's interpolation `enlarge` otherwise."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else enlarge)
