"""Reading pictures of cells: files or members of archives, whole or cut out of a field, scaled to squares."""

from __future__ import annotations

import io
import logging
import math
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pandas as pd

from histoweave.cells.archive import read_member
from histoweave.cells.table import BOX
from histoweave.storage.folders import check_readable
from histoweave.storage.pictures import read_picture, resize
from histoweave.storage.refusal import FAILED, Refusal, words_of

logger = logging.getLogger(__name__)

_ENLARGE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
UNREADABLE = "unreadable_cell"
MAX_COORDINATE_PX = 10**9
MAX_CELL_PIXELS = 64_000_000  # of a box that reaches over the border, which has to be filled
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Place:
    """Where a cell is: the file, the member if that is an archive, and the box (xmin, ymin, xmax, ymax) in px."""

    path: str
    member: str = ""
    box: Box | None = None


def places_of(cells: pd.DataFrame) -> list[Place]:
    """The place of each row of a cells table (`table.read_cells`)."""
    columns = [cells["path"], cells["member"], *(cells[side] for side in BOX)]
    return [
        Place(path, member, None if np.isnan(box[0]) else tuple(box))
        for path, member, *box in zip(*(column.to_list() for column in columns), strict=True)
    ]


class PictureReader:
    """Reads cells as squares of `edge_px`, from any number of threads.

    Each thread opens an archive once and keeps the last picture, so that the cells of a field are cut out of one
    decoding if they come one after the other.

    Parameters
    ----------
    crop: share of the edge that is kept around the centre.
    interpolation: `bicubic` or `bilinear`, for cells that have to be enlarged; shrinking averages areas.
    """

    def __init__(self, *, edge_px: int, crop: float, interpolation: str = "bicubic"):
        self._edge_px = edge_px
        self._crop = crop
        self._enlarge = _ENLARGE.get(interpolation, cv2.INTER_CUBIC)
        self._of_thread = threading.local()
        self._lock = threading.Lock()
        self._archives: list[zipfile.ZipFile] = []

    def __enter__(self) -> PictureReader:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives:
            archive.close()

    def read(self, place: Place) -> np.ndarray:
        """The cell as (E,E,3) uint8 RGB: `cut_out` of its picture, then resized whatever its aspect ratio.

        Raises
        ------
        Refusal
            `missing_file`, `unreadable_cell` or `bad_box`; `failed` for whatever else goes wrong with it.
        """
        try:
            cell = cut_out(self._picture(place), place.box, crop=self._crop)
            return resize(cell, width=self._edge_px, height=self._edge_px, enlarge=self._enlarge)
        except Refusal:
            raise
        except Exception as error:
            logger.exception("a cell of %s failed", place.member or Path(place.path).name)
            raise Refusal(FAILED, f"{type(error).__name__}: {error}") from error

    def read_all(self, places: Sequence[Place]) -> list[np.ndarray | Refusal]:
        """`read` of each, with the refusals of those that cannot be used."""
        found: list[np.ndarray | Refusal] = []
        for place in places:
            try:
                found.append(self.read(place))
            except Refusal as refusal:
                found.append(refusal)
        return found

    def _picture(self, place: Place) -> np.ndarray:
        key = (place.path, place.member)
        if getattr(self._of_thread, "key", None) != key:
            self._of_thread.key = None
            self._of_thread.picture = decode(self._source(place), name=place.member or Path(place.path).name)
            self._of_thread.key = key
        return self._of_thread.picture

    def _source(self, place: Place) -> Path | io.BytesIO:
        path = Path(place.path)
        check_readable(path, status=UNREADABLE)
        if not place.member:
            return path
        try:
            return io.BytesIO(read_member(self._archive(place.path), place.member))
        except KeyError:
            raise Refusal("missing_file", f"'{path.name}' has no member '{place.member}'") from None
        except Refusal:
            raise
        except Exception as error:  # as many kinds as there are ways to damage an archive
            words = f"'{place.member}' cannot be read from '{path.name}': {words_of(error)}"
            raise Refusal(UNREADABLE, words) from None

    def _archive(self, path: str) -> zipfile.ZipFile:
        archives = self._of_thread.__dict__.setdefault("archives", {})
        if path not in archives:
            archives[path] = zipfile.ZipFile(path)
            with self._lock:
                self._archives.append(archives[path])
        return archives[path]


def decode(source: Path | BinaryIO, *, name: str) -> np.ndarray:
    """The pixels of a cell's picture, (H,W,3) uint8, as `storage.pictures.read_picture`; it refuses as `unreadable_cell`."""
    return read_picture(source, name=name, status=UNREADABLE)


def cut_out(picture: np.ndarray, box: Box | None, *, crop: float) -> np.ndarray:
    """The part of an (H,W,3) uint8 picture that shows the cell.

    A box is made square around its centre: its longer side counts. Without a box the whole picture counts, square or
    not. Then the share `crop` of each edge is kept around the centre. Where that reaches over the border, it is filled
    with the median colour of the picture's outermost pixels, channel by channel.

    Raises
    ------
    Refusal
        `bad_box` for a box without area, beside the picture, or so large that it is no cell.
    """
    height, width = picture.shape[:2]
    xmin, ymin, xmax, ymax = box or (0, 0, width, height)
    if not all(abs(side) <= MAX_COORDINATE_PX for side in (xmin, ymin, xmax, ymax)):
        raise Refusal("bad_box", f"the box {_named((xmin, ymin, xmax, ymax))} is not in px of a picture")
    if xmax <= xmin or ymax <= ymin:
        raise Refusal("bad_box", f"the box {_named((xmin, ymin, xmax, ymax))} has no area")
    edges = (xmax - xmin, ymax - ymin) if box is None else (max(xmax - xmin, ymax - ymin),) * 2
    left, right = _span((xmin + xmax) / 2, edges[0] * crop)
    top, bottom = _span((ymin + ymax) / 2, edges[1] * crop)
    inner = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not inner.size:
        raise Refusal(
            "bad_box", f"the box {_named((xmin, ymin, xmax, ymax))} lies outside the picture of {width} x {height} px"
        )
    if inner.shape[:2] == (bottom - top, right - left):
        return inner
    if (bottom - top) * (right - left) > MAX_CELL_PIXELS:
        raise Refusal(
            "bad_box",
            f"the box {_named((xmin, ymin, xmax, ymax))} reaches far beyond the picture of {width} x {height} px",
        )
    frame = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    cell = np.empty((bottom - top, right - left, 3), np.uint8)
    cell[:] = np.median(frame, axis=0).astype(np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    cell[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
    return cell


def _span(centre: float, edge: float) -> tuple[int, int]:
    """First pixel and the one after the last, of about `edge` px around `centre`; one pixel at least."""
    size = max(1, math.floor(edge + 0.5))
    first = math.floor(centre - size / 2 + 0.5)
    return first, first + size


def _named(box: Box) -> str:
    return ", ".join(f"{value:g}" for value in box)
