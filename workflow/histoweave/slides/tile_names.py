"""Positions in the names of ready-made tile images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

_X, _Y, _NUMBER = r"(?P<x>\d{1,9})", r"(?P<y>\d{1,9})", r"\d{1,9}"
# QuPath's tile export `[x=15680,y=39200,w=224,h=224]`, `_(x,y)`, `_x_y`, and `x_y` alone.
_FORMS = (
    re.compile(
        rf"\[.*?\b(?P<named>x=){_X},y={_Y}(?:,w=(?P<w>{_NUMBER}),h=(?P<h>{_NUMBER})(?=[,\]])|(?=[,\]])(?!,w=)).*\]$"
    ),
    re.compile(rf"_?\({_X},\s*{_Y}\)$"),
    re.compile(rf"(?:^|_)(?P<before>{_NUMBER}_)?{_X}_{_Y}$"),
)
# Of a tile's edge: neighbours are no closer, however much they overlap.
_NEAR = 1 / 8
_OVERLAPS = 3 / 4  # of a tile's edge: tiles off any grid, such as samples, rarely lie closer
_WIDEST_SLIDE_PX = 2_000_000
_MOST_ROWS = 1000  # of the largest slides
_DATE, _TIME = re.compile(r"\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"), re.compile(r"([01]\d|2[0-3])[0-5]\d[0-5]\d")


@dataclass(frozen=True)
class NamedPlace:
    """Corner of a tile in level-0 px as its name has it, and its `size` (width, height) there if the name states it.

    Attributes
    ----------
    is_named: the name says which number is x and which is y.
    follows_number: a third number stands before the two, so that they may be something else.
    is_date: the two read as a date and a time of day.
    """

    x: int
    y: int
    size: tuple[int, int] | None = None
    is_named: bool = False
    follows_number: bool = False
    is_date: bool = False


def named_places(files: list[Path]) -> dict[Path, NamedPlace]:
    """The positions that the files' names state in the one form that most of them have; files without are left out."""
    found = [{file: match for file in files if (match := form.search(file.stem))} for form in _FORMS]
    return {file: _place(match) for file, match in max(found, key=len).items()}


def _place(match: re.Match) -> NamedPlace:
    named = match.groupdict()
    return NamedPlace(
        x=int(named["x"]),
        y=int(named["y"]),
        size=(int(named["w"]), int(named["h"])) if named.get("w") else None,
        is_named=bool(named.get("named")),
        follows_number=bool(named.get("before")),
        is_date=bool(_DATE.fullmatch(named["x"]) and _TIME.fullmatch(named["y"])),
    )


def are_positions(places: Sequence[NamedPlace], *, edges: Sequence[int]) -> bool:
    """Whether the numbers in the names of tiles are positions in px.

    Two numbers at the end of a name may as well be rows and columns, a count, a size, or a date. They are believed
    where tiles could lie like that: on a grid, or off any grid and mostly apart.

    Parameters
    ----------
    edges: of the tiles, in their own px and in level-0 px.
    """
    coords = np.array([(place.x, place.y) for place in places], np.int64)
    if are_rows_and_columns(coords, edge=edges[-1]):
        return False
    if all(place.is_named for place in places):
        return True
    if coords.max() > _WIDEST_SLIDE_PX or all(place.is_date for place in places):
        return False
    follow_number = all(place.follows_number for place in places)
    if any(_is_count_or_size(values, edges, follow_number=follow_number) for values in coords.T):
        return False
    return len(coords) == 1 or _is_grid(coords, edge=edges[-1]) or _is_loose(coords, edge=edges[-1])


def _is_count_or_size(values: np.ndarray, edges: Sequence[int], *, follow_number: bool) -> bool:
    """Whether one coordinate of all tiles counts them, or is the edge or, behind a third number, anything that is fixed.

    A name such as `x_y_size` ends in the size, and `x_y_level` in the level.
    """
    n_tiles, n_values = len(values), len(np.unique(values))
    if n_values == 1:
        return (n_tiles > 1 and follow_number) or (values[0] in edges and (n_tiles > 1 or follow_number))
    return n_values == n_tiles and values.max() - values.min() == n_tiles - 1


def _is_grid(coords: np.ndarray, *, edge: int) -> bool:
    """Whether the positions (N,2) have a common step, or are in rows and columns that lie apart (steps are rounded)."""
    least = max(1, round(edge * _NEAR))
    if np.gcd.reduce((coords - coords[0]).ravel()) >= least:
        return True
    lines = [np.unique(values) for values in coords.T]
    return all(len(line) < len(coords) and (np.diff(line) >= least).all() for line in lines)


def _is_loose(coords: np.ndarray, *, edge: int) -> bool:
    """Whether most tiles at (N,2) lie apart, farther out than rows and columns are counted."""
    if coords.max() < _MOST_ROWS:
        return False
    nearest, _ = cKDTree(coords).query(coords, k=2, p=np.inf)
    return bool((nearest[:, 1] < edge * _OVERLAPS).mean() <= 0.5)


def are_rows_and_columns(coords: np.ndarray, *, edge: int) -> bool:
    """Whether the positions (N,2) of tiles of `edge` level-0 px are numbers of a grid, or of files, and no px.

    Then most tiles would lie nearly on another one: in the same square of an eighth of their edge.
    """
    squares = np.unique(coords, axis=0) // max(1, round(edge * _NEAR))
    _, square, n_tiles = np.unique(squares, axis=0, return_inverse=True, return_counts=True)
    return bool((n_tiles[square.ravel()] > 1).mean() > 0.5)
