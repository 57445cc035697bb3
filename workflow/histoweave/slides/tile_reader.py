"""Reading tiles in blocks from many threads, with failures told apart from pixels."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import openslide

from histoweave.slides.blocks import is_worth_a_region
from histoweave.slides.reader import open_slide, read_region
from histoweave.slides.store import TileTable
from histoweave.slides.tile_folder import read_tile_image
from histoweave.storage.folders import check_readable, file_of
from histoweave.storage.pictures import on_white, resize
from histoweave.storage.refusal import Refusal, words_of

logger = logging.getLogger(__name__)

_ENLARGE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


class Unreadable(Exception):
    """A region or tile whose pixels cannot be had."""


class TileReader:
    """Reads the tiles of a slide, or of a folder of ready-made ones, scaled to squares of `edge_px`.

    All threads share one OpenSlide handle and its cache. A handle that met an error stays in error, so it is replaced,
    and what could not be read is tried once more, tile by tile, with a handle of its own.

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
        self._lock = threading.Lock()
        self._problems: dict[int, str] = {}
        self._handle: openslide.AbstractSlide | None = None
        if tiles.tile_file is None:
            self._handle = open_slide(path)
        else:
            check_readable(path)

    def __enter__(self) -> TileReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()

    @property
    def first_problem(self) -> str:
        """Why the first of the tiles that could not be read could not; empty if all could."""
        return self._problems[min(self._problems)] if self._problems else ""

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tiles `rows` of the table as (n,E,E,3) uint8 RGB, and (n,) bool, False for a tile that cannot be read.

        What cannot be read is black in the first and counts as failed: it is never encoded.
        """
        found = self._from_folder(rows) if self._tiles.tile_file is not None else self._from_slide(rows)
        images = np.zeros((len(rows), self._edge_px, self._edge_px, 3), np.uint8)
        readable = np.zeros(len(rows), bool)
        for place, tile in enumerate(found):
            if tile is not None:
                images[place] = resize(tile, width=self._edge_px, height=self._edge_px, enlarge=self._enlarge)
                readable[place] = True
        return images, readable

    def _from_folder(self, rows: np.ndarray) -> list[np.ndarray | None]:
        found: list[np.ndarray | None] = []
        assert self._tiles.tile_file is not None
        for row in rows:
            try:
                found.append(read_tile_image(file_of(self._path, self._tiles.tile_file[row])))
            except Refusal as refusal:
                logger.warning("tile %d cannot be read: %s", row, refusal)
                self._problems[int(row)] = refusal.reason
                found.append(None)
        return found

    def _from_slide(self, rows: np.ndarray) -> list[np.ndarray | None]:
        coords = self._tiles.coords[rows]
        together = is_worth_a_region(coords, edge_lv0=self._tiles.attributes["patch_size_level0"])
        handle = self._handle
        assert handle is not None
        try:
            parts = [coords] if together else [corner[None] for corner in coords]
            return [tile for part in parts for tile in self._region(handle, part)]
        except (openslide.OpenSlideError, Unreadable):
            self._replace(handle)
        return [self._alone(row, corner) for row, corner in zip(rows, coords, strict=True)]

    def _region(self, handle: openslide.AbstractSlide, coords_lv0: np.ndarray) -> list[np.ndarray]:
        """The tiles at these corners, cut out of one region read from the tiles' level: each (e,e,3) uint8."""
        attributes = self._tiles.attributes
        level = attributes["patch_level"]
        downsample = handle.level_downsamples[level]
        read_px = max(1, round(attributes["patch_size_level0"] / downsample))
        first = coords_lv0.min(axis=0)
        offsets_px = np.rint((coords_lv0 - first) / downsample).astype(int)
        width_px, height_px = (int(value) for value in offsets_px.max(axis=0) + read_px)
        rgba = read_region(
            handle, x_lv0=int(first[0]), y_lv0=int(first[1]), level=level, width_px=width_px, height_px=height_px
        )
        tiles = []
        for x, y in offsets_px:
            tile = rgba[y : y + read_px, x : x + read_px]
            if not tile[..., 3].any():
                raise Unreadable("the file holds no pixels there")
            tiles.append(on_white(tile))
        return tiles

    def _alone(self, row: int, corner_lv0: np.ndarray) -> np.ndarray | None:
        """One tile read with a fresh handle, None if it cannot be read."""
        try:
            with open_slide(self._path) as handle:
                return self._region(handle, corner_lv0[None])[0]
        except (openslide.OpenSlideError, Refusal, Unreadable) as error:
            logger.warning("tile at (%d, %d) cannot be read: %s", *corner_lv0, error)
            self._problems[int(row)] = words_of(error)
            return None

    def _replace(self, broken: openslide.AbstractSlide) -> None:
        """A new shared handle in place of the one that met an error (once, however many threads met it).

        The old one is left to the garbage collector: other threads may still be reading with it.
        """
        with self._lock:
            if self._handle is broken:
                try:
                    self._handle = open_slide(self._path)
                except Refusal as refusal:
                    logger.warning("%s", refusal)
