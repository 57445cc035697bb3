"""What is known of every patient's tiles without reading them again: their number, their mean, and a random sample.

Made once per cohort; no label and no fold has a part in it. What is fitted on training patients takes these patients' rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion.bags import BagStore
from histoweave.fusion.seeds import fold_seed
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5

SAMPLED_TILES = 8192  # that a fold's transform is fitted on, of all training patients together
_MEND = "delete it, and it is made again"


@dataclass(frozen=True, eq=False)
class TileSummary:
    """The tiles of each patient of a cohort.

    Attributes
    ----------
    patients : ids, sorted, of the patients with tiles.
    counts : (n,) int64, number of tiles.
    means : (n,D) float64, mean of all tiles.
    samples : random tiles of each patient in random order, (S,D) float32, so that the first ones are a sample too.
    """

    patients: tuple[str, ...]
    counts: np.ndarray
    means: np.ndarray
    samples: tuple[np.ndarray, ...]

    def sample(self, patients: list[str]) -> np.ndarray:
        """At most `SAMPLED_TILES` tiles (M,D) float32, the same upper number of each of these patients."""
        share = max(1, SAMPLED_TILES // len(patients))
        rows = dict(zip(self.patients, self.samples, strict=True))
        return np.concatenate([rows[patient][:share] for patient in patients])


def with_tiles(patients: pd.DataFrame, slides: pd.DataFrame) -> list[str]:
    """Ids of the included patients with an image, sorted.

    Raises
    ------
    InputError
        if one of them has no usable slide.
    """
    ids = sorted(patients.loc[patients["included"] & patients["has_image"], "patient"])
    known = set(slides.loc[slides["status"] == "ok", "patient"])
    if lost := [patient for patient in ids if patient not in known]:
        raise InputError(f"patient {lost[0]}: has_image is true, but no slide has the status ok; make the cohort again")
    return ids


def summarise(patients: pd.DataFrame, slides: pd.DataFrame, *, seed: int) -> TileSummary:
    """Read every tile of the included patients once.

    Parameters
    ----------
    patients, slides : `cohort/patients.parquet` and `cohort/slides.parquet`.

    Raises
    ------
    InputError
        for features that are not finite, or of different widths.
    """
    ids, bags = with_tiles(patients, slides), BagStore(slides)
    # Half of the patients may be all that a fold trains on, and then more of each are wanted.
    share = max(1, -(-2 * SAMPLED_TILES // max(1, len(ids))))
    found = [_of_patient(bags, patient, share=share, seed=seed) for patient in ids]
    widths = {len(mean) for mean, _ in found}
    if len(widths) > 1:
        odd = next(i for i, (mean, _) in enumerate(found) if len(mean) != len(found[0][0]))
        raise InputError(
            f"patient {ids[odd]}: has {len(found[odd][0])} features per tile where patient {ids[0]} has "
            f"{len(found[0][0])}; use one encoder for all slides"
        )
    means = np.stack([mean for mean, _ in found]) if found else np.empty((0, 0))
    counts = np.array([bags.count(patient) for patient in ids], dtype=np.int64)
    return TileSummary(tuple(ids), counts, means, tuple(sample for _, sample in found))


def _of_patient(bags: BagStore, patient: str, *, share: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) float64 and a sample of `share` tiles at most. The draw depends on no other patient."""
    n_tiles = bags.count(patient)
    chosen = np.random.default_rng(fold_seed(seed, f"tiles/{patient}", 0)).permutation(n_tiles)[:share]
    order = np.argsort(chosen)
    rows, total, start = chosen[order], np.float64(0.0), 0
    parts: list[np.ndarray] = []
    for block in bags.blocks(patient):
        if parts and block.shape[1] != parts[0].shape[1]:
            raise InputError(
                f"patient {patient}: slides have {parts[0].shape[1]} and {block.shape[1]} features per tile; "
                "use one encoder for all slides"
            )
        total = total + block.sum(axis=0, dtype=np.float64)
        first, last = np.searchsorted(rows, (start, start + len(block)))
        parts.append(block[rows[first:last] - start])
        start += len(block)
    sample = np.concatenate(parts)
    return np.asarray(total / n_tiles), sample[np.argsort(order)]


def write_summary(path: str | Path, summary: TileSummary) -> None:
    """Write `tile_summary.h5`: `patients`, `counts`, `means`, `sample` and the number of sampled tiles of each patient."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        file.create_dataset("patients", data=list(summary.patients), dtype=h5py.string_dtype())
        file["counts"], file["means"] = summary.counts, summary.means
        file["sampled"] = np.array([len(part) for part in summary.samples], dtype=np.int64)
        file["sample"] = np.concatenate(summary.samples) if summary.samples else np.empty((0, 0), dtype=np.float32)


def read_summary(path: str | Path) -> TileSummary:
    """Read what `write_summary` wrote.

    Raises
    ------
    InputError
        naming the file, if it is missing or damaged.
    """
    ids, counts, means, sampled, sample = _read(path, ("counts", "means", "sampled", "sample"))
    if sampled.sum() != len(sample):
        raise InputError(f"{path}: not a whole summary of tiles (tiles are missing); {_MEND}")
    return TileSummary(ids, counts, means, tuple(np.split(sample, np.cumsum(sampled)[:-1]) if len(ids) else ()))


def read_means(path: str | Path) -> dict[str, np.ndarray]:
    """The mean tile (D,) float64 of each patient; errors as `read_summary`."""
    ids, means = _read(path, ("means",))
    return dict(zip(ids, means, strict=True))


def _read(path: str | Path, names: tuple[str, ...]) -> list:
    """The ids of the patients and these datasets."""
    try:
        with h5py.File(path) as file:
            found = [tuple(file["patients"].asstr()[:]), *(file[name][:] for name in names)]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a whole summary of tiles ({error}); {_MEND}") from None
    if any(len(values) != len(found[0]) for name, values in zip(names, found[1:], strict=True) if name != "sample"):
        raise InputError(f"{path}: not a whole summary of tiles (patients are missing); {_MEND}")
    return found
