"""Simulated blood cells: a picture is drawn from the attributes in the cells table and the laboratory's appearance.

Shapes depend on the cell's id and the seed alone; the laboratory decides stain, background, scale, blur and noise.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from histoweave.errors import InputError, nearest
from histoweave.simulate.factors import rng_for
from histoweave.storage.files import atomic_path

if TYPE_CHECKING:
    from histoweave.settings.cohorts import SimulateCells

PICTURE_PX = 160
ATTRIBUTES = {
    "size": ("small", "big"),
    "lobes": ("1", "2", "3", "4"),
    "granules": ("none", "fine", "coarse"),
    "colour": ("blue", "pink"),
}
_JPEG_QUALITY = 92
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with
_RADIUS_PX = {"small": 31.0, "big": 43.0}
_NUCLEUS_SHARE = {1: 0.62, 2: 0.42, 3: 0.34, 4: 0.34}  # of the cell's area
_RED_CELL_PX = 27.0

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Laboratory:
    """How a laboratory's pictures look. Stains are optical densities of red, green and blue at full strength."""

    background: Rgb  # 0 to 1
    red_cell: Rgb
    nucleus: Rgb
    cytoplasm: dict[str, Rgb]  # by the attribute `colour`
    granules: dict[str, Rgb]
    scale: float
    blur_px: float
    noise: float


LABORATORIES = {
    "a": Laboratory(
        background=(0.93, 0.90, 0.86),
        red_cell=(0.10, 0.36, 0.30),
        nucleus=(0.72, 1.10, 0.30),
        cytoplasm={"blue": (0.36, 0.24, 0.06), "pink": (0.08, 0.26, 0.14)},
        granules={"fine": (0.30, 0.62, 0.16), "coarse": (0.18, 0.85, 0.80)},
        scale=1.0,
        blur_px=0.7,
        noise=0.010,
    ),
    "b": Laboratory(
        background=(0.95, 0.92, 0.70),
        red_cell=(0.12, 0.24, 0.42),
        nucleus=(1.00, 0.85, 0.22),
        cytoplasm={"blue": (0.42, 0.20, 0.10), "pink": (0.14, 0.30, 0.30)},
        granules={"fine": (0.42, 0.48, 0.14), "coarse": (0.28, 0.75, 1.05)},
        scale=1.2,
        blur_px=1.1,
        noise=0.022,
    ),
}


def draw_cell(
    *, cell: str, size: str, lobes: str, granules: str, colour: str, laboratory: str, seed: int
) -> np.ndarray:
    """Draw one cell among red cells: (160,160,3) uint8 RGB; equal arguments give equal pixels.

    Raises
    ------
    InputError
        for a value of an attribute that is not among `ATTRIBUTES`.
    """
    _check(cell, {"size": size, "lobes": lobes, "granules": granules, "colour": colour})
    lab = LABORATORIES[laboratory]
    rng = rng_for(seed, "cell", cell)
    centre = PICTURE_PX / 2 + rng.uniform(-5, 5, 2)
    radius = float(_RADIUS_PX[size] * rng.normal(1, 0.05) * lab.scale)
    body = _blob(rng, centre, radius, bumps=0.05)
    nucleus = _nucleus(rng, centre, radius, int(lobes)) * body
    density = _red_cells(rng, centre, radius, lab) * (1 - body)
    strength = np.float32(rng.uniform(0.8, 1.2))
    layers = [
        (density, lab.red_cell),
        (body * (strength + 0.15 * _texture(rng, 8)), lab.cytoplasm[colour]),
        (nucleus * (1 + 0.22 * _texture(rng, 22)), lab.nucleus),
    ]
    if granules != "none":
        layers.append((_granules(rng, centre, radius, granules) * body * (1 - 0.75 * nucleus), lab.granules[granules]))
    total = sum(layer[..., None] * np.array(stain, np.float32) for layer, stain in layers)
    grain = rng_for(seed, "grain", cell, laboratory)
    light = np.array(lab.background, np.float32) * np.float32(grain.uniform(0.96, 1.03))
    image = cv2.GaussianBlur(light * cv2.exp(-total), (0, 0), lab.blur_px)
    image += np.float32(lab.noise) * grain.standard_normal(image.shape, dtype=np.float32)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def write_cells(path: str | os.PathLike, *, cells: pd.DataFrame, settings: SimulateCells) -> None:
    """Draw all cells of a laboratory into one zip archive of JPEG files; equal arguments give equal bytes.

    Parameters
    ----------
    cells: `cell`, `member` and the columns of `ATTRIBUTES`, as text.

    Raises
    ------
    InputError
        for a value of an attribute that cannot be drawn.
    """
    cv2.setNumThreads(1)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for cell, member, *values in cells[["cell", "member", *ATTRIBUTES]].itertuples(index=False):
            picture = draw_cell(
                cell=cell,
                laboratory=settings.laboratory,
                seed=settings.seed,
                **dict(zip(ATTRIBUTES, values, strict=True)),
            )
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            archive.writestr(zipfile.ZipInfo(member, date_time=_EPOCH), data.tobytes())


def _check(cell: str, values: dict[str, str]) -> None:
    for attribute, value in values.items():
        if value not in ATTRIBUTES[attribute]:
            raise InputError(
                f"cells table: {attribute} '{value}' of cell '{cell}' cannot be drawn"
                f"{nearest(str(value), ATTRIBUTES[attribute])}; use {', '.join(ATTRIBUTES[attribute])}"
            )


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _blob(rng: np.random.Generator, centre: np.ndarray, radius: float, *, bumps: float) -> np.ndarray:
    """A filled, bumpy disc: (E,E) float32, 0 to 1."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = np.arange(2, 6)
    phase, height = rng.uniform(0, 2 * np.pi, 4), rng.normal(0, bumps, 4) / waves
    reach = radius * (1 + height @ np.cos(waves[:, None] * angle + phase[:, None]))
    outline = centre + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mask = np.zeros((PICTURE_PX, PICTURE_PX), np.uint8)
    cv2.fillPoly(mask, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def _nucleus(rng: np.random.Generator, centre: np.ndarray, radius: float, lobes: int) -> np.ndarray:
    """Lobes on an arc, joined by bridges: (E,E) float32, 0 to 1."""
    lobe = radius * np.sqrt(_NUCLEUS_SHARE[lobes] * rng.normal(1, 0.06) / lobes)
    if lobes == 1:
        return _blob(rng, centre + rng.normal(0, 0.05 * radius, 2), lobe, bumps=0.09)
    step = 2 * np.pi / max(lobes, 3) * rng.uniform(0.9, 1.05)
    angle = rng.uniform(0, 2 * np.pi) + step * np.arange(lobes)
    away = (0.62 if lobes > 2 else 0.54) * (radius - 0.35 * lobe)
    places = centre + away * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.03 * radius, (lobes, 2))
    mask = np.zeros((PICTURE_PX, PICTURE_PX), np.uint8)
    cv2.polylines(mask, [_fixed(places)], False, 255, max(2, round(0.5 * lobe)), cv2.LINE_AA, _SHIFT)
    nucleus = mask.astype(np.float32) / 255
    for place in places:
        nucleus = np.maximum(nucleus, _blob(rng, place, lobe * rng.uniform(0.9, 1.1), bumps=0.1))
    return nucleus


def _granules(rng: np.random.Generator, centre: np.ndarray, radius: float, kind: str) -> np.ndarray:
    """Dots all over the cell: (E,E) float32, 0 to 1."""
    number, dot, strength = (150, 0.024, 150) if kind == "fine" else (85, 0.068, 255)
    angle, away = rng.uniform(0, 2 * np.pi, number), radius * np.sqrt(rng.uniform(0, 0.9, number))
    places = centre + away[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sizes = radius * dot * rng.uniform(0.8, 1.2, number)
    mask = np.zeros((PICTURE_PX, PICTURE_PX), np.uint8)
    for place, size in zip(_fixed(places).tolist(), _fixed(sizes).tolist(), strict=True):
        cv2.circle(mask, place, size, strength, -1, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def _red_cells(rng: np.random.Generator, centre: np.ndarray, radius: float, lab: Laboratory) -> np.ndarray:
    """Discs with a pale middle around the cell: (E,E) float32."""
    y, x = np.mgrid[:PICTURE_PX, :PICTURE_PX].astype(np.float32)
    density = np.zeros((PICTURE_PX, PICTURE_PX), np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    for number in range(int(rng.integers(3, 7))):
        red = _RED_CELL_PX * lab.scale * rng.uniform(0.9, 1.1)
        away = radius + red * rng.uniform(0.95, 1.7)
        angle = turn + number * 1.25 + rng.uniform(-0.2, 0.2)
        middle_x, middle_y = centre + away * np.array([np.cos(angle), np.sin(angle)])
        relative = cv2.magnitude(x - np.float32(middle_x), y - np.float32(middle_y)) / np.float32(red)
        disc = np.clip((1 - relative) * np.float32(red), 0, 1) * (0.45 + 0.55 * np.clip(relative / 0.6, 0, 1) ** 2)
        density = np.maximum(density, disc)
    return density


def _texture(rng: np.random.Generator, knots: int) -> np.ndarray:
    """Smooth noise of about unit variance: (E,E) float32."""
    noise = rng.standard_normal((knots, knots), dtype=np.float32)
    return cv2.resize(noise, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_CUBIC)
