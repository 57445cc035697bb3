"""Drawing of tissue in RGB, brush by brush; no optical densities, no outlines shared with the demo."""

from __future__ import annotations

import cv2
import numpy as np

GLASS = (243, 242, 244)
_NUCLEUS = np.array([92, 62, 132], float)
_STROMA = np.array([226, 164, 196], float)
_CYTOPLASM = np.array([203, 147, 190], float)


def draw_slide(
    *, texture: str, factor: bool, strength: float, edge_px: int, tint: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A slide at 0.5 µm per px.

    Parameters
    ----------
    factor : whether the image factor is there; then about a third of the regions show it, as far as `strength` (0 to 1) goes.
    tint : (3,) what the site's stain multiplies red, green and blue by.

    Returns
    -------
    (edge_px, edge_px, 3) uint8.
    """
    shape = _outline(edge_px, rng)
    canvas = _ground(edge_px, rng)
    step = 150
    changed = rng.random((edge_px // step + 1, edge_px // step + 1)) < (0.35 if factor else 0.0)
    brush = {"glands": _gland, "sheets": _sheet, "fibres": _fibre}[texture]
    for row in range(0, edge_px, step):
        for column in range(0, edge_px, step):
            centre = np.array([column, row]) + step / 2 + rng.normal(0, 12, 2)
            if shape[min(int(max(centre[1], 0)), edge_px - 1), min(int(max(centre[0], 0)), edge_px - 1)]:
                amount = strength if changed[row // step, column // step] else 0.0
                brush(canvas, centre, amount, rng)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.8)
    canvas += rng.normal(0, 4, canvas.shape[:2])[..., None]
    inside = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 3)[..., None]
    painted = np.clip(canvas, 0, 255) * tint
    return np.clip(inside * painted + (1 - inside) * np.array(GLASS), 0, 255).astype(np.uint8)


def _outline(edge_px: int, rng: np.random.Generator) -> np.ndarray:
    """(edge, edge) bool: a lobed piece of tissue that leaves glass around it."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 0.43 * edge_px * (1 + 0.08 * np.sin(3 * angle + rng.uniform(0, 6)) + rng.normal(0, 0.015, 40))
    points = edge_px / 2 + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    mask = np.zeros((edge_px, edge_px), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    return mask.astype(bool)


def _ground(edge_px: int, rng: np.random.Generator) -> np.ndarray:
    """Stroma: (edge, edge, 3) float64 with slow changes of colour."""
    coarse = rng.normal(0, 1, (edge_px // 40 + 2, edge_px // 40 + 2))
    slow = cv2.resize(coarse, (edge_px, edge_px), interpolation=cv2.INTER_CUBIC)
    return _STROMA + 7 * slow[..., None]


def _dot(canvas: np.ndarray, at: np.ndarray, radii: tuple[float, float], angle: float, colour: np.ndarray) -> None:
    centre = (round(float(at[0])), round(float(at[1])))
    axes = (max(1, round(radii[0])), max(1, round(radii[1])))
    cv2.ellipse(canvas, centre, axes, angle, 0, 360, tuple(float(value) for value in colour), -1)


def _nucleus(
    canvas: np.ndarray, at: np.ndarray, size: float, long: float, angle: float, rng: np.random.Generator
) -> None:
    colour = _NUCLEUS + rng.normal(0, 9, 3)
    _dot(canvas, at, (size * long, size), angle, colour)
    _dot(canvas, at + rng.normal(0, 0.8, 2), (size * long * 0.5, size * 0.5), angle, colour + 22)


def _gland(canvas: np.ndarray, centre: np.ndarray, amount: float, rng: np.random.Generator) -> None:
    """A gland of a ring of nuclei around a lumen; the factor fills the lumen with cells."""
    radius = rng.uniform(42, 58)
    _dot(canvas, centre, (radius, radius * rng.uniform(0.75, 1)), rng.uniform(0, 180), _CYTOPLASM + rng.normal(0, 5, 3))
    _dot(canvas, centre, (radius * 0.5, radius * 0.45), rng.uniform(0, 180), np.array([238.0, 232, 238]))
    for turn in np.arange(0, 2 * np.pi, 0.24):
        at = centre + radius * 0.78 * np.array([np.cos(turn), np.sin(turn)]) + rng.normal(0, 2, 2)
        _nucleus(canvas, at, rng.uniform(4, 5.5), 1.5, np.degrees(turn) + 90, rng)
    for _ in range(round(26 * amount)):
        at = centre + rng.normal(0, radius * 0.3, 2)
        _nucleus(canvas, at, rng.uniform(4.5, 7), 1.1, rng.uniform(0, 180), rng)


def _sheet(canvas: np.ndarray, centre: np.ndarray, amount: float, rng: np.random.Generator) -> None:
    """Cells without order; the factor makes their nuclei larger and less alike."""
    for _ in range(42):
        at = centre + rng.uniform(-75, 75, 2)
        size = rng.normal(5, 0.5) + amount * abs(rng.normal(2.5, 2.0))
        _dot(canvas, at, (size + 5, size + 4), rng.uniform(0, 180), _CYTOPLASM + rng.normal(0, 6, 3))
        _nucleus(canvas, at, max(size, 2.5), rng.uniform(1, 1.25), rng.uniform(0, 180), rng)


def _fibre(canvas: np.ndarray, centre: np.ndarray, amount: float, rng: np.random.Generator) -> None:
    """Bundles of fibres with spindle cells in one direction; the factor turns each fibre its own way and adds round cells."""
    main = rng.uniform(0, 180)
    for _ in range(22):
        at = centre + rng.uniform(-70, 70, 2)
        angle = main + rng.normal(0, 8) + amount * rng.uniform(-90, 90)
        _dot(canvas, at, (32, 2.5), angle, _STROMA - rng.uniform(5, 30))
        _nucleus(canvas, at, rng.uniform(2.5, 3.2), 3.2, angle, rng)
    for _ in range(round(16 * amount)):
        _nucleus(canvas, centre + rng.uniform(-70, 70, 2), rng.uniform(4, 5), 1.0, 0, rng)
