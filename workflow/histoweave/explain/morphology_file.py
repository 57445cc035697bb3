"""`explain/<model>/morphology/<slide>.h5`: the chosen tiles of a slide, measured, with small pictures of some."""

from __future__ import annotations

import os
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd

from histoweave.explain.tile_measures import MEASURES
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5
from histoweave.storage.refusal import OK

FLAGS = ("leading", "trailing", "sampled")
_SCORES = ("attribution", "z")


@dataclass(frozen=True, eq=False)
class SlideMorphology:
    """What was seen of a slide.

    Attributes
    ----------
    tiles : `x_lv0`, `y_lv0`, `attribution`, `z`, the `FLAGS`, the `MEASURES`, and `picture` (WebP; empty without); no
        rows for a slide whose tiles could not be looked at.
    """

    slide: str
    tiles: pd.DataFrame
    status: str = OK
    reason: str = ""


def write_morphology(path: str | os.PathLike, seen: SlideMorphology) -> None:
    """Write a slide's file, whole or not at all."""
    tiles = seen.tiles
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        file.attrs.update(slide=seen.slide, status=seen.status, reason=seen.reason)
        file.create_dataset("coords", data=tiles[["x_lv0", "y_lv0"]].to_numpy(np.int64))
        for name in _SCORES:
            file.create_dataset(name, data=tiles[name].to_numpy(np.float64))
        for name in FLAGS:
            file.create_dataset(name, data=tiles[name].to_numpy(bool))
        measures = file.create_dataset("measures", data=tiles[list(MEASURES)].to_numpy(np.float64))
        measures.attrs.update(names=list(MEASURES), units=list(MEASURES.values()))
        pictures = file.create_dataset("picture", shape=(len(tiles),), dtype=h5py.vlen_dtype(np.uint8))
        for place, picture in enumerate(tiles["picture"]):
            pictures[place] = np.frombuffer(picture, np.uint8)


def read_morphology(path: str | os.PathLike) -> SlideMorphology:
    """Read a slide's file."""
    with h5py.File(path, "r") as file:
        tiles = pd.DataFrame(file["coords"][()], columns=["x_lv0", "y_lv0"])
        tiles = tiles.assign(**{name: file[name][()] for name in (*_SCORES, *FLAGS)})
        tiles[list(MEASURES)] = file["measures"][()]
        tiles["picture"] = pd.Series([picture.tobytes() for picture in file["picture"][()]], dtype=object)
        attributes = dict(file.attrs)
    return SlideMorphology(attributes["slide"], tiles, attributes["status"], attributes["reason"])


def no_tiles() -> pd.DataFrame:
    """The tiles of a slide that nobody could look at."""
    columns: dict[str, type] = {
        "x_lv0": np.int64,
        "y_lv0": np.int64,
        **dict.fromkeys(_SCORES, np.float64),
        **dict.fromkeys(FLAGS, bool),
    }
    columns |= {**dict.fromkeys(MEASURES, np.float64), "picture": object}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
