"""A synthetic cohort on disk for the benchmark of the fusion models: features as the feature stage writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

CLASSES = ["neg", "pos"]
N_FOLDS = 5
N_GENES = 1000
_CHUNK_BYTES = 1 << 20
_RANK = 32


@dataclass(frozen=True)
class Cohort:
    """Where it lies, and its tables as the stages before fusion write them."""

    folder: Path
    patients: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame
    folds: pd.DataFrame

    @property
    def raw_bytes(self) -> int:
        """Size of the features."""
        return sum(Path(path).stat().st_size for path in self.slides["features"])


def make_cohort(folder: Path, *, n_patients: int, n_tiles: int, dim: int) -> Cohort:
    """One slide of `n_tiles` tiles for each patient, float16; files that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(_RANK, dim)).astype(np.float32)
    ids = [f"P{i:05d}" for i in range(n_patients)]
    for number, patient in enumerate(ids):
        if not (folder / f"{patient}.h5").is_file():
            _write(folder / f"{patient}.h5", basis, n_tiles=n_tiles, seed=number)
    positive = np.arange(n_patients) % 2 == 1
    rna = rng.normal(5, 1, (n_patients, N_GENES)) + positive[:, None] * (np.arange(N_GENES) < 20)
    expression = pd.DataFrame(rna, columns=[f"G{i}" for i in range(N_GENES)])
    expression.insert(0, "patient", ids)
    patients = pd.DataFrame({"patient": ids, "label": np.where(positive, "pos", "neg")})
    patients = patients.assign(has_image=True, has_expression=True, complete=True, included=True, site="A")
    files = [str(folder / f"{patient}.h5") for patient in ids]
    slides = pd.DataFrame({"slide": ids, "patient": ids, "status": "ok", "features": files, "n_tiles": n_tiles})
    return Cohort(folder, patients, slides, expression, _folds(ids))


def _write(path: Path, basis: np.ndarray, *, n_tiles: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_tiles, _RANK), dtype=np.float32)
    features = factors @ basis + rng.standard_normal((n_tiles, basis.shape[1]), dtype=np.float32)
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        rows = max(1, _CHUNK_BYTES // (2 * basis.shape[1]))
        chunks = (min(rows, n_tiles), basis.shape[1])
        file.create_dataset("features", data=features.astype(np.float16), chunks=chunks)
        file["coords"] = np.column_stack([np.arange(n_tiles) % 100 * 224, np.arange(n_tiles) // 100 * 224])
    partial.rename(path)


def _folds(ids: list[str]) -> pd.DataFrame:
    """Five folds; a fifth of a fold's other patients stop the training."""
    rows = []
    for fold in range(N_FOLDS):
        rest = 0
        for number, patient in enumerate(ids):
            if number // 2 % N_FOLDS == fold:
                role = "test"
            else:
                role, rest = ("val" if rest // 2 % 5 == 0 else "train"), rest + 1
            rows.append((patient, 0, fold, role))
    return pd.DataFrame(rows, columns=["patient", "repeat", "fold", "role"])
