"""Where QuPath counts the pixels of a slide from: it shows the part of level 0 that was scanned, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

_BOUNDS = tuple(f"openslide.bounds-{key}" for key in ("x", "y", "width", "height"))
_ATTRIBUTES = ("bounds_x_lv0", "bounds_y_lv0")


def bounds_origin(properties: Mapping[str, str]) -> tuple[int, int]:
    """Upper left corner (x, y) of the scanned part in level-0 px, of OpenSlide's properties; (0, 0) if not stated."""
    try:
        x, y, width, height = (int(properties[key]) for key in _BOUNDS)
    except (KeyError, ValueError):
        return 0, 0
    return (x, y) if width > 0 and height > 0 else (0, 0)


def as_attributes(origin_lv0: tuple[int, int]) -> dict[str, int]:
    """As a tile file holds it, on `coords`."""
    return dict(zip(_ATTRIBUTES, origin_lv0, strict=True))


def origin_of(attributes: Mapping[str, int | float | str]) -> tuple[int, int]:
    """The corner (x, y) in level-0 px, of the attributes of `coords`; (0, 0) for files of others."""
    x, y = (int(attributes.get(name, 0)) for name in _ATTRIBUTES)
    return x, y
