"""The form of ready-made tile images: which of a folder's pictures have that of the tiles, and which are masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from histoweave.slides.tile_names import NamedPlace
from histoweave.storage.pictures import open_picture
from histoweave.storage.refusal import Refusal

_LEAST_SHARE = 0.2  # of coloured pictures among those of their size: a tile may have several masks
_COLOURED = ("RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class Picture:
    """What is known of a picture before the tiles are chosen."""

    size: tuple[int, int]
    mode: str
    is_clear: bool  # transparent everywhere


@dataclass(frozen=True)
class Form:
    """What all tiles of a folder have in common: size in px, colour or grey, and the size that their names state."""

    width_px: int
    height_px: int
    coloured: bool
    named_size: tuple[int, int] | None

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} px {'in colour' if self.coloured else 'in grey'}"


def picture_of(file: Path) -> Picture | None:
    """What a picture's header says, and whether it shows anything; None for one that cannot be opened."""
    try:
        with open_picture(file) as image:
            size, mode = image.size, image.mode
            return Picture(size, mode, _is_clear(image))
    except Refusal:
        return None


def _is_clear(image: Image.Image) -> bool:
    """Whether a picture is transparent everywhere; False for damaged pixels, which whoever reads them tells of."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return False
    try:
        return image.convert("RGBA").getchannel("A").getextrema()[1] == 0
    except Exception:
        return False


def forms_of(
    files: list[Path], places: dict[Path, NamedPlace], pictures: dict[Path, Picture | None]
) -> dict[Path, Form | None]:
    """The form of every picture, None for one that cannot be opened.

    Pictures with a palette among coloured ones are masks if one of them lies where a coloured one does, else tiles.
    """
    corners: dict[str, set[tuple[int, int]]] = {}
    for file, place in places.items():
        if picture := pictures[file]:
            corners.setdefault(picture.mode, set()).add((place.x, place.y))
    of_colour = set().union(*(corners.get(mode, ()) for mode in _COLOURED))
    of_palette = corners.get("P", set())
    coloured = (*_COLOURED, "P") if of_colour and not of_colour & of_palette else _COLOURED
    forms: dict[Path, Form | None] = {}
    for file in files:
        picture, named = pictures[file], places.get(file)
        size = named.size if named else None
        forms[file] = None if picture is None else Form(*picture.size, picture.mode in coloured, size)
    return forms


def common_form(files: list[Path], places: dict[Path, NamedPlace], forms: dict[Path, Form | None]) -> Form:
    """The form of the tiles: the most common one; of colour and grey in the same size, colour."""
    known = [form for file in files if (not places or file in places) and (form := forms[file]) is not None]
    if not known:
        n_tiles = len(places) or len(files)
        raise Refusal("unreadable", f"none of the {n_tiles} tile images can be read")
    counts = Counter(known)
    sizes = Counter((form.width_px, form.height_px, form.named_size) for form in known)
    (size, n_of_size), *_ = sizes.most_common()
    of_size = [form for form in counts if (form.width_px, form.height_px, form.named_size) == size]
    form = max(of_size, key=lambda form: form.coloured)
    if 2 * n_of_size <= len(known) or counts[form] < _LEAST_SHARE * n_of_size:
        named = ", ".join(f"{count} of {form}" for form, count in counts.most_common(3))
        raise Refusal("bad_tiles", f"the pictures are not of one form, as the tiles of a slide are: {named}")
    if form.width_px != form.height_px or (form.named_size and form.named_size[0] != form.named_size[1]):
        raise Refusal("bad_tiles", f"the tiles are {form}; cut square ones, since others would be squeezed")
    return form
