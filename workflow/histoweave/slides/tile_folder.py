"""A folder of ready-made tile images in place of a slide: taken as they are, nothing resampled.

Which of its pictures are tiles is decided in `tile_names` (positions), `tile_forms` (form) and here (scale).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import shapely

from histoweave.settings.tiles import Tiles
from histoweave.slides.dicom import dicom_files, shows_slide
from histoweave.slides.outlines import THUMBNAIL_PX, text_picture
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, tile_attributes
from histoweave.slides.tile_forms import Form, common_form, forms_of, picture_of
from histoweave.slides.tile_names import NamedPlace, are_positions, named_places
from histoweave.storage.folders import check_readable, files_in, may_read, shown_name
from histoweave.storage.pictures import read_picture, resize
from histoweave.storage.refusal import Refusal

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_OTHER_PICTURES = (".webp", ".gif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".heic", ".avif", ".jfif")
MONTAGE_TILES = 64


def is_tile_folder(place: str | os.PathLike) -> bool:
    """Whether a path is a folder of tiles, or of nothing: not one of a slide's DICOM files.

    A few of them that show no slide, such as a label, may lie beside more tiles whose names state positions.
    """
    try:
        if not os.path.isdir(place):
            return False
        dicom = dicom_files(place)
        if not dicom:
            return True
        return len(named_places(tile_images(Path(place)))) > len(dicom) and not any(map(shows_slide, dicom))
    except (OSError, Refusal):  # whoever opens it says why
        return False


def tile_images(folder: Path) -> list[Path]:
    """The image files directly in `folder`, by name; hidden files do not count.

    Raises
    ------
    Refusal
        `missing_file` or `unreadable`, if the folder cannot be listed.
    """
    check_readable(folder)
    return [file for file in files_in(folder) if file.suffix.lower() in SUFFIXES]


def read_tile_image(path: str | Path) -> np.ndarray:
    """Read one tile image: (H,W,3) uint8 RGB, as `storage.pictures.read_picture`.

    Raises
    ------
    Refusal
        `missing_file` or `unreadable`.
    """
    return read_picture(Path(path))


def tile_folder(
    *, slide: str, folder: Path, mpp: float | None, settings: Tiles
) -> tuple[TileTable, shapely.Geometry, np.ndarray]:
    """Take the tiles among the images of `folder` as those of `slide`.

    Tiles are the pictures whose names state a position (`tile_names`); if no name does, all pictures are. Of these,
    they are the ones of the most common form: square, of one size, in colour or grey. What is left out (thumbnails,
    masks), positions that are not known and a spacing that is not known are told by the table's `reason`. A picture
    that names its position and cannot be read is a tile that cannot be read.

    Parameters
    ----------
    mpp: µm per level-0 px; None: not known. A tile whose name states its size at level 0 has its own spacing from it.
    settings: what tiles are asked for.

    Returns
    -------
    The table, the union of the tiles' boxes in level-0 px, and a montage of the first tiles.

    Raises
    ------
    Refusal
        `no_tissue` for a folder without images, `unreadable` if no image can be read, `bad_tiles` if they are not
        square or not of one form, `bad_coords` for two tiles in one place or tiles of another scale than asked for.
    """
    files = tile_images(folder)
    if not files:
        folders = [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        hint = f"; of its {len(folders)} folders, give the path of the one with the tiles" if folders else ""
        raise Refusal("no_tissue", f"the folder has no tile images ({', '.join(SUFFIXES)}){hint}")
    pictures = {file: picture_of(file) for file in files}
    clear = [file for file, picture in pictures.items() if picture is not None and picture.is_clear]
    files = [file for file in files if file not in set(clear)]
    if not files:
        raise Refusal("no_tissue", f"all {len(clear)} tiles are transparent everywhere")
    places = named_places(files)
    forms = forms_of(files, places, pictures)
    form = common_form(files, places, forms)
    are_tiles = [(not places or file in places) and forms[file] in (form, None) for file in files]
    tiles = [file for file, is_tile in zip(files, are_tiles, strict=True) if is_tile]
    left_out = [file for file, is_tile in zip(files, are_tiles, strict=True) if not is_tile]
    left_out += [file for file in files_in(folder) if file.suffix.lower() in _OTHER_PICTURES]
    left_out += dicom_files(folder)
    edge_px = form.width_px
    edge_lv0 = form.named_size[0] if form.named_size else edge_px
    coords, placed = _coords(tiles, places, edges=(edge_px, edge_lv0))
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    coords, tiles = coords[order], [tiles[index] for index in order]
    spacing = Spacing(mpp, mpp, "override") if mpp is not None and not math.isnan(mpp) else UNKNOWN
    tile_mpp = spacing.mpp * edge_lv0 / edge_px
    remarks = [
        *_said_of(left_out, form, has_places=bool(places)),
        *_said_of_clear(clear),
        *_said_of_folders(folder),
        *([] if placed else [_NO_PLACES]),
        *_scale(tile_mpp, edge_px, settings),
    ]
    width_lv0, height_lv0 = (int(value) for value in coords.max(axis=0) + edge_lv0)
    attributes = tile_attributes(
        slide=slide,
        tile_px=edge_px,
        target_mpp=tile_mpp,
        overlap_px=0,
        spacing=spacing,
        size_lv0=(width_lv0, height_lv0),
        edge_lv0=edge_lv0,
    )
    table = TileTable(
        slide=slide,
        source="tile_folder",
        attributes=attributes,
        reason="; ".join(remarks),
        coords=coords,
        tissue_fraction=np.ones(len(tiles), np.float32),
        tile_file=tuple(shown_name(file) for file in tiles),
    )
    boxes = shapely.box(*coords.T, *(coords + edge_lv0).T)
    return table, shapely.union_all(boxes), _montage(tiles)


_NO_PLACES = "the names state no positions, so the tiles are laid out in a square in order of their names"


def _coords(tiles: list[Path], places: dict[Path, NamedPlace], *, edges: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Corners (N,2) int64 in level-0 px, and whether they are those of the names; else a running square grid.

    `edges` of the tiles are in their own and in level-0 px.
    """
    if places and are_positions([places[file] for file in tiles], edges=edges):
        coords = np.array([(places[file].x, places[file].y) for file in tiles], np.int64)
        _check_apart(tiles, coords)
        return coords, True
    columns = math.ceil(math.sqrt(len(tiles)))
    number = np.arange(len(tiles))
    return np.stack([number % columns, number // columns], axis=1).astype(np.int64) * edges[-1], False


def _check_apart(tiles: list[Path], coords: np.ndarray) -> None:
    """Refuse two tiles in one place."""
    first: dict[tuple[int, int], Path] = {}
    for file, corner in zip(tiles, map(tuple, coords.tolist()), strict=True):
        if corner in first:
            raise Refusal(
                "bad_coords",
                f"'{shown_name(first[corner])}' and '{shown_name(file)}' state the same position; keep one picture per tile, and masks "
                "in a folder of their own",
            )
        first[corner] = file


def _said_of(left_out: list[Path], form: Form, *, has_places: bool) -> list[str]:
    if not left_out:
        return []
    n = len(left_out)
    return [
        f"{n} {'pictures are no tiles and were' if n > 1 else 'picture is no tile and was'} left out, such as "
        f"'{shown_name(left_out[0])}' (tiles: {form}{', with a position in the name' if has_places else ''})"
    ]


def _said_of_clear(clear: list[Path]) -> list[str]:
    if not clear:
        return []
    n = len(clear)
    are = "pictures are transparent everywhere and were" if n > 1 else "picture is transparent everywhere and was"
    return [f"{n} {are} left out, such as '{shown_name(clear[0])}'"]


def _said_of_folders(folder: Path) -> list[str]:
    """Names a folder with pictures beside the tiles: it may hold more of them."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or not entry.is_dir() or not may_read(entry, is_folder=True):
            continue
        if n := len(tile_images(entry)):
            pictures = "pictures" if n > 1 else "picture"
            return [f"the folder '{shown_name(entry)}' in it was not read ({n} {pictures})"]
    return []


def _scale(tile_mpp: float, edge_px: int, settings: Tiles) -> list[str]:
    """What is to be said of the scale of tiles of `tile_mpp` µm per px.

    Tiles that show as much as the slides' own are taken however many px they have. Of those with the spacing that is
    asked for, but another number of px, it is said that an encoder, which scales all tiles to its input, sees more or
    less of them. Others are refused.
    """
    asked = settings.target_mpp
    if math.isnan(tile_mpp):
        return [f"µm per px are not known (column mpp is empty), so it was not checked that they are {asked:g}"]
    as_wide = _is_about(tile_mpp * edge_px, settings.tile_px * asked, settings.mpp_tolerance)
    if as_wide:
        return []
    if _is_about(tile_mpp, asked, settings.mpp_tolerance):
        return [f"the tiles are {edge_px} px wide, and tiles.tile_px is {settings.tile_px}"]
    raise Refusal(
        "bad_coords",
        f"the tiles have {tile_mpp:.4g} µm per px (column mpp of the slides table), but {asked:g} are requested; fix "
        f"the column if it is wrong, set tiles.target_mpp: {tile_mpp:.4g} for all slides, or cut the tiles again",
    )


def _is_about(value: float, wanted: float, tolerance: float) -> bool:
    return abs(value / wanted - 1) <= tolerance


def _montage(files: list[Path]) -> np.ndarray:
    shown = files[:MONTAGE_TILES]
    columns = math.ceil(math.sqrt(len(shown)))
    edge = min(224, THUMBNAIL_PX // columns)
    canvas = np.full((math.ceil(len(shown) / columns) * edge, columns * edge, 3), 245, np.uint8)
    for number, file in enumerate(shown):
        top, left = number // columns * edge, number % columns * edge
        try:
            image = read_tile_image(file)
        except Refusal:
            image = text_picture("unreadable")[:, :120]
        canvas[top : top + edge, left : left + edge] = resize(image, width=edge, height=edge)
    return canvas
