"""Positions in the names of ready-made tile images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_X, _Y = r"(?P<x>\d{1,9})", r"(?P<y>\d{1,9})"
# QuPath's tile export `[x=15680,y=39200,w=224,h=224]`, `_(x,y)`, `_x_y`, and `x_y` alone.
_FORMS = (
    re.compile(rf"\[.*?\bx={_X},y={_Y}(?:,w=(?P<w>\d{{1,9}}),h=(?P<h>\d{{1,9}}))?.*\]$"),
    re.compile(rf"_?\({_X},\s*{_Y}\)$"),
    re.compile(rf"(?:^|_){_X}_{_Y}$"),
)
# Of a tile's edge: neighbours are no closer, however much they overlap.
_NEAR = 1 / 8


@dataclass(frozen=True)
class NamedPlace:
    """Corner of a tile in level-0 px, and its `size` (width, height) there if the name states it."""

    x: int
    y: int
    size: tuple[int, int] | None


def named_places(files: list[Path]) -> dict[Path, NamedPlace]:
    """The positions that the files' names state in the one form that most of them have; files without are left out."""
    found = [{file: match for file in files if (match := form.search(file.stem))} for form in _FORMS]
    return {file: _place(match) for file, match in max(found, key=len).items()}


def _place(match: re.Match) -> NamedPlace:
    named = match.groupdict()
    size = (int(named["w"]), int(named["h"])) if named.get("w") else None
    return NamedPlace(int(named["x"]), int(named["y"]), size)


def are_rows_and_columns(coords: np.ndarray, *, edge: int) -> bool:
    """Whether the positions (N,2) of tiles of `edge` level-0 px are numbers of a grid, or of files, and no px.

    Then most tiles would lie nearly on another one: in the same square of an eighth of their edge.
    """
    squares = np.unique(coords, axis=0) // max(1, round(edge * _NEAR))
    _, square, n_tiles = np.unique(squares, axis=0, return_inverse=True, return_counts=True)
    return bool((n_tiles[square.ravel()] > 1).mean() > 0.5)
