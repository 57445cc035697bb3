"""The scene on a simulated slide, in µm: tissue, stroma, nuclei, and the regions that carry the image factor.

Everything outside the planted regions comes from generators that do not know the image factor, so it is the
same with and without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from histoweave.errors import InputError
from histoweave.simulate.factors import rng_for

MASK_UM = 4.0  # edge of a pixel of the tissue and planted masks
FIBRE_UM = 2.0  # edge of a pixel of the stroma texture
_OUTLINE_POINTS = 18


@dataclass(frozen=True)
class Site:
    """What a site's laboratory and scanner do to every slide."""

    mpp: float  # µm per px of the scanner
    glass_rgb: tuple[int, int, int]
    haematoxylin: float  # stain strength relative to the other sites
    eosin: float
    scanner: str  # model, as the slide's file names it


SITES = {
    "ZA": Site(mpp=0.50, glass_rgb=(244, 243, 245), haematoxylin=1.00, eosin=1.00, scanner="simulated A"),
    "ZB": Site(mpp=0.46, glass_rgb=(246, 242, 241), haematoxylin=0.88, eosin=1.15, scanner="simulated A"),
    "ZC": Site(mpp=0.42, glass_rgb=(240, 243, 246), haematoxylin=1.12, eosin=0.90, scanner="simulated B"),
    "ZD": Site(mpp=0.48, glass_rgb=(245, 245, 240), haematoxylin=0.95, eosin=1.05, scanner="simulated B"),
    # Another hospital.
    "north": Site(mpp=0.45, glass_rgb=(241, 240, 243), haematoxylin=1.06, eosin=1.10, scanner="simulated C"),
    "south": Site(mpp=0.45, glass_rgb=(243, 241, 240), haematoxylin=0.98, eosin=0.95, scanner="simulated C"),
}


def site_of(name: str) -> Site:
    """The record of a simulated site.

    Raises
    ------
    InputError
        for a site that the simulation does not know.
    """
    if name not in SITES:
        raise InputError(f"patients table: site '{name}' cannot be simulated; use one of {', '.join(SITES)}")
    return SITES[name]


@dataclass(frozen=True)
class Nuclei:
    """N nuclei as polygons with a dark rim and a paler core."""

    outline_um: np.ndarray  # (N, K, 2) float64, x and y
    rim: np.ndarray  # (N,) float64, haematoxylin concentration
    core: np.ndarray  # (N,) float64


@dataclass(frozen=True)
class Scene:
    """A square piece of slide. Masks have pixels of `MASK_UM`, the stroma of `FIBRE_UM`; row 0 is y = 0."""

    field_um: float
    tissue: np.ndarray  # (m, m) bool
    planted: np.ndarray  # (m, m) bool, a part of `tissue`
    stroma: np.ndarray  # (f, f) float32, eosin concentration
    nuclei: Nuclei


@dataclass(frozen=True)
class _Population:
    """How nuclei of one kind look."""

    per_mm2: float
    radius_um: float
    radius_cv: float  # coefficient of variation between nuclei
    elongation: float  # long axis / short axis, median
    irregularity: float  # relative depth of the outline's bumps
    darkness: float
    paleness: float  # core / rim


def _smooth_noise(rng: np.random.Generator, *, size: int, scale: float) -> np.ndarray:
    """(size, size) float32 noise of unit variance whose bumps are about `scale` pixels wide."""
    knots = rng.standard_normal((int(size / scale) + 4,) * 2).astype(np.float32)
    shift = rng.uniform(0, 1, 2)
    grid = np.arange(size, dtype=np.float32) / scale + 1
    x, y = np.meshgrid(grid + np.float32(shift[0]), grid + np.float32(shift[1]))
    noise = cv2.remap(knots, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return noise / noise.std()


def _tissue(rng: np.random.Generator, *, size: int, field_um: float) -> np.ndarray:
    """One or two irregular blobs that fill about half of the field, with some fat holes."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    depth = np.full((size, size), -np.inf)
    pieces = int(rng.integers(1, 3))
    turn = rng.uniform(0, np.pi)
    for piece in range(pieces):
        away = 0.0 if pieces == 1 else (0.25 if piece == 0 else -0.25)
        dx = x - 0.5 - away * np.cos(turn) - rng.uniform(-0.04, 0.04)
        dy = y - 0.5 - away * np.sin(turn) - rng.uniform(-0.04, 0.04)
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = dy * np.cos(turn) - dx * np.sin(turn)
        stretch = rng.uniform(0.85, 1.2)
        squeeze = 1.0 if pieces == 1 else 0.6
        depth = np.maximum(depth, -np.hypot(along * stretch / squeeze, across / stretch))
    depth += 0.05 * _smooth_noise(rng, size=size, scale=130 / MASK_UM)
    depth += 0.015 * _smooth_noise(rng, size=size, scale=35 / MASK_UM)
    tissue = (depth > np.quantile(depth, 1 - rng.uniform(0.52, 0.64))).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        centre = rng.uniform(0.25, 0.75, 2) * field_um
        for _ in range(int(rng.integers(2, 6))):
            hole = (centre + rng.normal(0, 28, 2)) / MASK_UM
            radius = rng.uniform(12, 24) / MASK_UM
            cv2.circle(tissue, (int(hole[0]), int(hole[1])), int(radius), 0, thickness=-1)
    return tissue.astype(bool)


def _plant(rng: np.random.Generator, *, tissue: np.ndarray, share: float) -> np.ndarray:
    """Contiguous regions that cover `share` of the tissue."""
    noise = _smooth_noise(rng, size=len(tissue), scale=330 / MASK_UM)
    noise += 0.15 * _smooth_noise(rng, size=len(tissue), scale=60 / MASK_UM)
    if share == 0 or not tissue.any():
        return np.zeros_like(tissue)
    return tissue & (noise >= np.quantile(noise[tissue], 1 - share))


def _stroma(rng: np.random.Generator, *, size: int, eosin: float) -> np.ndarray:
    """Wavy eosin fibres with slow variation in strength: (size, size) float32 concentrations."""
    fibres: np.ndarray = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 9.0, sigmaY=0.9)
    fibres /= fibres.std()
    y, x = np.mgrid[:size, :size].astype(np.float32)
    wave = 60 / FIBRE_UM
    x += wave * _smooth_noise(rng, size=size, scale=260 / FIBRE_UM)
    y += wave * _smooth_noise(rng, size=size, scale=260 / FIBRE_UM)
    fibres = cv2.remap(fibres, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    slow = _smooth_noise(rng, size=size, scale=180 / FIBRE_UM)
    return np.clip(eosin * (1 + 0.20 * fibres + 0.14 * slow), 0.05, None).astype(np.float32)


def _look_up(mask: np.ndarray, xy_um: np.ndarray) -> np.ndarray:
    """Value of a mask at positions (..., 2) in µm."""
    at = np.clip(np.floor(xy_um / MASK_UM).astype(int), 0, len(mask) - 1)
    return mask[at[..., 1], at[..., 0]]


def _nuclei(rng: np.random.Generator, *, field_um: float, kind: _Population) -> Nuclei:
    """Nuclei all over the field, on a jittered grid so that few overlap."""
    step = 1000 / np.sqrt(kind.per_mm2)
    grid = np.arange(0, field_um, step)
    xy = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    n = len(xy)
    xy = xy + rng.uniform(0.05, 0.95, (n, 2)) * step
    radius = kind.radius_um * np.exp(rng.normal(0, kind.radius_cv, n))
    stretch = np.sqrt(kind.elongation * np.exp(np.abs(rng.normal(0, 0.15, n))))
    turn = rng.uniform(0, np.pi, n)
    theta = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS, endpoint=False)
    bumps = sum(
        rng.normal(0, kind.irregularity, (n, 1)) * np.cos(k * theta + rng.uniform(0, 2 * np.pi, (n, 1)))
        for k in (2, 3, 4)
    )
    reach = radius[:, None] * np.clip(1 + bumps, 0.4, 1.8)
    along, across = reach * np.cos(theta) * stretch[:, None], reach * np.sin(theta) / stretch[:, None]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    outline = xy[:, None] + np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
    rim = kind.darkness * np.exp(rng.normal(0, 0.15, n))
    return Nuclei(outline, rim, rim * kind.paleness)


def _keep(nuclei: Nuclei, kept: np.ndarray) -> Nuclei:
    return Nuclei(nuclei.outline_um[kept], nuclei.rim[kept], nuclei.core[kept])


def make_scene(
    *,
    slide: str,
    patient: str,
    site: str,
    image_factor: bool,
    empty: bool,
    planted_share: float,
    field_um: float,
    seed: int,
) -> Scene:
    """Draw the scene of a slide.

    Size, density, shape and stain of ordinary nuclei differ between patients and sites, and clusters of small
    dark lymphocytes occur in anyone; neither depends on the factor. With the factor, `planted_share` of the
    tissue holds large, dark, crowded and irregular nuclei in place of the ordinary ones. An `empty` scene has
    no tissue.

    Raises
    ------
    InputError
        for a site that the simulation does not know.
    """
    lab = site_of(site)
    look = rng_for(seed, "look", patient)
    strength = lab.haematoxylin * np.exp(look.normal(0, 0.06))
    eosin = 0.42 * lab.eosin * np.exp(look.normal(0, 0.08))
    ordinary = _Population(
        per_mm2=look.uniform(1300, 2300), radius_um=look.uniform(2.9, 3.7), radius_cv=0.15,
        elongation=look.uniform(1.2, 2.0), irregularity=0.03, darkness=0.95 * strength, paleness=0.80,
    )  # fmt: skip
    lymphocytes = _Population(
        per_mm2=look.uniform(6000, 8000), radius_um=look.uniform(2.6, 3.0), radius_cv=0.08,
        elongation=1.05, irregularity=0.02, darkness=1.35 * strength, paleness=0.95,
    )  # fmt: skip
    tumour = _Population(
        per_mm2=look.uniform(4400, 5400), radius_um=look.uniform(4.9, 5.8), radius_cv=0.25,
        elongation=1.25, irregularity=0.06, darkness=1.40 * strength, paleness=0.68,
    )  # fmt: skip

    size = int(np.ceil(field_um / MASK_UM))
    tissue = _tissue(rng_for(seed, "tissue", slide), size=size, field_um=field_um)
    if empty:
        tissue = np.zeros_like(tissue)
    planted = _plant(rng_for(seed, "planted", slide), tissue=tissue, share=planted_share if image_factor else 0.0)
    cluster = _smooth_noise(rng_for(seed, "clusters", slide), size=size, scale=70 / MASK_UM) > 1.7
    stroma = _stroma(rng_for(seed, "stroma", slide), size=int(np.ceil(field_um / FIBRE_UM)), eosin=eosin)

    parts = []
    for name, kind, area in (
        ("ordinary", ordinary, tissue & ~cluster),
        ("lymphocytes", lymphocytes, tissue & cluster),
        ("tumour", tumour, planted),
    ):
        drawn = _nuclei(rng_for(seed, name, slide), field_um=field_um, kind=kind)
        # A nucleus across a planted border is an ordinary one: outside, the factor moves no pixel.
        inside = _look_up(planted, drawn.outline_um).all(axis=1)
        centred = _look_up(area, drawn.outline_um.mean(axis=1))
        parts.append(_keep(drawn, centred & (inside == (kind is tumour))))
    nuclei = Nuclei(*(np.concatenate([getattr(part, f) for part in parts]) for f in ("outline_um", "rim", "core")))
    return Scene(field_um=field_um, tissue=tissue, planted=planted, stroma=stroma, nuclei=nuclei)


def planted_squares(scene: Scene, *, edge_um: float) -> np.ndarray:
    """Planted share of every square of a regular grid over the field: (k, k) float64, row 0 is y = 0.

    `edge_um` must be a multiple of `MASK_UM`.
    """
    per_square = round(edge_um / MASK_UM)
    missing = -len(scene.planted) % per_square
    padded = np.pad(scene.planted, (0, missing)).astype(float)
    k = len(padded) // per_square
    return padded.reshape(k, per_square, k, per_square).mean(axis=(1, 3))
