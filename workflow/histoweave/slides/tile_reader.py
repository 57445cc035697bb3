"""Reading tiles by number from many threads, with failures told apart from pixels."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import openslide

from histoweave.slides.reader import open_slide, read_tile, resize
from histoweave.slides.refusal import Refusal
from histoweave.slides.store import TileTable
from histoweave.slides.tile_folder import read_tile_image

logger = logging.getLogger(__name__)

_ENLARGE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


class TileReader:
    """Reads the tiles of a slide, or of a folder of ready-made ones, scaled to squares of `edge_px`.

    An OpenSlide handle that met an error stays in error, so each thread has a handle of its own, and a tile
    that cannot be read is tried once more with a fresh one.

    Parameters
    ----------
    interpolation: `bicubic` or `bilinear`, for tiles that have to be enlarged; shrinking averages areas.

    Raises
    ------
    Refusal
        `missing_file` or `unreadable`, if the slide cannot be opened (any more).
    """

    def __init__(self, *, path: Path, tiles: TileTable, edge_px: int, interpolation: str):
        self._path = path
        self._tiles = tiles
        self._edge_px = edge_px
        self._enlarge = _ENLARGE.get(interpolation, cv2.INTER_CUBIC)
        self._handles: dict[int, openslide.OpenSlide] = {}
        if tiles.tile_file is None:
            self._fresh_handle()
        elif not path.is_dir():
            raise Refusal("missing_file", f"{path} is not a folder (any more)")

    def __len__(self) -> int:
        return len(self._tiles.coords)

    def __enter__(self) -> TileReader:
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles.values():
            handle.close()

    def __call__(self, index: int) -> np.ndarray | None:
        """Tile `index` as (edge_px, edge_px, 3) uint8 RGB, None if it cannot be read."""
        tile = self._from_slide(index) if self._tiles.tile_file is None else self._from_folder(index)
        if tile is None:
            return None
        return resize(tile, width=self._edge_px, height=self._edge_px, enlarge=self._enlarge)

    def _from_folder(self, index: int) -> np.ndarray | None:
        try:
            return read_tile_image(self._path / self._tiles.tile_file[index])
        except OSError as error:
            logger.warning("tile %d cannot be read: %s", index, error)
            return None

    def _from_slide(self, index: int) -> np.ndarray | None:
        x_lv0, y_lv0 = map(int, self._tiles.coords[index])
        attributes = self._tiles.attributes
        place = {
            "x_lv0": x_lv0,
            "y_lv0": y_lv0,
            "edge_lv0": attributes["patch_size_level0"],
            "level": attributes["patch_level"],
        }
        for handle_of in (self._handle, self._fresh_handle):
            try:
                return read_tile(handle_of(), **place)
            except (openslide.OpenSlideError, Refusal) as error:
                failure = error
        logger.warning("tile at (%d, %d) cannot be read: %s", x_lv0, y_lv0, failure)
        self._drop_handle()
        return None

    def _handle(self) -> openslide.OpenSlide:
        return self._handles.get(threading.get_ident()) or self._fresh_handle()

    def _fresh_handle(self) -> openslide.OpenSlide:
        """A new handle for this thread in place of the one that met an error."""
        self._drop_handle()
        self._handles[threading.get_ident()] = handle = open_slide(self._path)
        return handle

    def _drop_handle(self) -> None:
        handle = self._handles.pop(threading.get_ident(), None)
        if handle is not None:
            handle.close()
