"""The projected tiles of a fold: the transform of its training patients, and what it makes of every tile.

One pass over the features writes the files of all folds. Every fit and every prediction of a fold reads these, so the features
themselves are read as often whatever the number of models, members and epochs. Tiles are stored in float16: a value of unit
scale is rounded by 0.0005 at most.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion.bags import BagStore
from histoweave.fusion.capacity import image_components
from histoweave.fusion.folds import roles_of
from histoweave.fusion.seeds import fold_seed
from histoweave.fusion.tile_summary import TileSummary
from histoweave.fusion.transforms import ImageTransform, fit_components
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import NewHdf5

_log = logging.getLogger(__name__)
DTYPE = np.float16
LARGEST = float(np.finfo(DTYPE).max)
# Tiles of a patient that the validation loss is taken on: more would cost time and hardly move a mean over them.
VALIDATION_TILES = 1024


@dataclass(frozen=True, eq=False)
class Plan:
    """One fold's file before its tiles are written.

    Attributes
    ----------
    patients : with tiles, of any role, sorted. fitted_on : the training patients among them.
    transform : fitted on these; None without any.
    """

    k: int
    patients: list[str]
    fitted_on: list[str]
    transform: ImageTransform | None

    @property
    def width(self) -> int:
        """Values per projected tile."""
        return 0 if self.transform is None else self.transform.width


def plan(summary: TileSummary, folds: pd.DataFrame, k: int, *, settings: Fusion, seed: int) -> Plan:
    """Fit the transform of fold k on the sampled tiles of its training patients.

    Parameters
    ----------
    folds : `patient`, `repeat`, `fold`, `role`; without rows where there are no folds.
    settings : `image_components`; `auto` goes by the number of training patients with an image.
    """
    roles = roles_of(folds, k)
    patients = [patient for patient in summary.patients if patient in roles.index]
    fitted_on = [patient for patient in patients if roles[patient] == "train"]
    if not fitted_on:
        return Plan(k, patients, fitted_on, None)
    components = image_components(settings, n_train=len(fitted_on))
    tiles = summary.sample(fitted_on).astype(np.float64)
    return Plan(k, patients, fitted_on, fit_components(tiles, components=components, seed=fold_seed(seed, "tiles", k)))


def project(
    summary: TileSummary,
    slides: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    settings: Fusion,
    seed: int,
    out: Sequence[str | Path],
) -> None:
    """Write the projected tiles of every fold; the features are read once.

    Parameters
    ----------
    summary : of `slides`, `cohort/slides.parquet`.
    folds, settings : as of `plan`.
    out : a file for each fold k, from k = 0.

    Raises
    ------
    InputError
        for features that have changed since the summary was made, or too little room on the disk.
    """
    plans = [plan(summary, folds, k, settings=settings, seed=seed) for k in range(len(out))]
    _check_room(plans, summary, out)
    bags, counts = BagStore(slides), dict(zip(summary.patients, summary.counts, strict=True))
    with contextlib.ExitStack() as stack:
        files = []
        for one, path in zip(plans, out, strict=True):
            new = stack.enter_context(NewHdf5(stack.enter_context(atomic_path(path))))
            _begin(new.file, one, summary, seed=seed)
            files.append(new)
        writers = [(one, new, _Rows(new.file)) for one, new in zip(plans, files, strict=True) if one.transform]
        fasts = [_Fast(one.transform) for one, _, _ in writers if one.transform is not None]
        beyond = 0
        for patient in sorted({patient for one, _, _ in writers for patient in one.patients}):
            if bags.count(patient) != counts[patient]:
                raise InputError(f"patient {patient}: its features changed while the run was on; run again")
            asked = [
                (fast, rows) for fast, (one, _, rows) in zip(fasts, writers, strict=True) if patient in one.patients
            ]
            for block in bags.blocks(patient):
                for fast, rows in asked:
                    beyond += rows.append(fast(block))
            for _, new, _ in writers:
                new.check()
    if beyond:
        _log.warning("%d projected values are beyond %g and are stored as that", beyond, LARGEST)


class _Fast:
    """A transform in float32, as one product of matrices; in float64 where numbers are too large for that."""

    def __init__(self, transform: ImageTransform):
        self._exact, self._mean = transform, transform.mean.astype(np.float32)
        weight = 1 / transform.scale[:, None]
        self._weight = (weight if transform.loadings is None else weight * transform.loadings).astype(np.float32)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N,D) float32 features to (N,k) float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            centred = features - self._mean
            rows = centred * self._weight[:, 0] if self._exact.loadings is None else centred @ self._weight
        return rows if np.isfinite(rows).all() else self._exact(features)


class _Rows:
    """Appends projected tiles to the dataset of a file."""

    def __init__(self, file: h5py.File):
        self._tiles, self._next = file["tiles"], 0

    def append(self, rows: np.ndarray) -> int:
        """Write rows (N,k) float32; how many of the values were too large for the dataset."""
        clipped = np.clip(rows, -LARGEST, LARGEST)
        self._tiles[self._next : self._next + len(rows)] = clipped.astype(DTYPE)
        self._next += len(rows)
        return int((clipped != rows).sum())


def _begin(file: h5py.File, one: Plan, summary: TileSummary, *, seed: int) -> None:
    """Everything but the tiles themselves, for which the room is set aside in one piece, so that they can be mapped."""
    counts = dict(zip(summary.patients, summary.counts, strict=True))
    own = np.array([counts[patient] for patient in one.patients], dtype=np.int64)
    samples = [_validation_rows(patient, counts[patient], seed=seed, k=one.k) for patient in one.patients]
    text = h5py.string_dtype()
    file.create_dataset("patients", data=one.patients, dtype=text)
    file.create_dataset("fitted_on", data=one.fitted_on, dtype=text)
    file["counts"] = own
    file["sampled"] = np.array([len(rows) for rows in samples], dtype=np.int64)
    file["sample_rows"] = np.concatenate(samples) if samples else np.empty(0, dtype=np.int64)
    if one.transform is not None:
        file["mean"], file["scale"] = one.transform.mean, one.transform.scale
        if one.transform.loadings is not None:
            file["loadings"] = one.transform.loadings
        file.create_dataset("tiles", shape=(int(own.sum()), one.width), dtype=DTYPE)


def _validation_rows(patient: str, n_tiles: int, *, seed: int, k: int) -> np.ndarray:
    """The rows of a patient that the validation loss is taken on, sorted; all where there are few."""
    if n_tiles <= VALIDATION_TILES:
        return np.arange(n_tiles)
    rng = np.random.default_rng(fold_seed(seed, f"validation/{patient}", k))
    return np.sort(rng.choice(n_tiles, size=VALIDATION_TILES, replace=False))


def projected_bytes(n_tiles: int, *, width: int) -> int:
    """Room for the projected tiles of one fold."""
    return n_tiles * width * np.dtype(DTYPE).itemsize


def _check_room(plans: list[Plan], summary: TileSummary, out: Sequence[str | Path]) -> None:
    """Say how much room the files take, and refuse to start where there is less."""
    n_tiles = int(summary.counts.sum())
    wanted = sum(projected_bytes(n_tiles, width=one.width) for one in plans)
    folder = Path(out[0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    _log.info("projected tiles: %.3g GB for %d folds of %d tiles", wanted / 1e9, len(plans), n_tiles)
    if wanted > free:
        raise InputError(
            f"{folder}: the projected tiles of {len(plans)} folds take {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free; free some, or set fusion.image_components to a smaller number"
        )
