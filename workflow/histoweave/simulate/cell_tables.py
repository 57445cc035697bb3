"""The demo's cell cohorts: the tables `config/demo/lab_{a,b}_{cells,patients}.tsv` of two laboratories.

The type of a cell is a rule of its attributes; the class of a patient shifts the mix of types.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.simulate.factors import rng_for

HEALTHY, LEUKAEMIA = "healthy", "leukaemia"
CELLS_PER_PATIENT = 20
_PATIENTS = {"a": 24, "b": 12}  # half of them with leukaemia
TYPES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "blast")
# Mean share of each type; a patient's own mix varies around it (Dirichlet).
_MIX = {HEALTHY: (0.46, 0.28, 0.11, 0.09, 0.06), LEUKAEMIA: (0.28, 0.20, 0.11, 0.08, 0.33)}
_CONCENTRATION = 16.0
# Of each type: values of `size`, `lobes`, `granules`, `colour` and how often they occur.
_LOOKS = {
    "neutrophil": ({"big": 0.8, "small": 0.2}, {"3": 0.5, "4": 0.5}, {"fine": 0.85, "none": 0.15}, {"pink": 0.85, "blue": 0.15}),
    "lymphocyte": ({"small": 1.0}, {"1": 1.0}, {"none": 0.85, "fine": 0.15}, {"blue": 0.85, "pink": 0.15}),
    "monocyte": ({"big": 0.85, "small": 0.15}, {"2": 1.0}, {"none": 0.6, "fine": 0.4}, {"blue": 0.8, "pink": 0.2}),
    "eosinophil": ({"big": 0.8, "small": 0.2}, {"2": 0.8, "3": 0.2}, {"coarse": 1.0}, {"pink": 0.85, "blue": 0.15}),
    "blast": ({"big": 1.0}, {"1": 1.0}, {"none": 0.75, "fine": 0.25}, {"blue": 0.9, "pink": 0.1}),
}  # fmt: skip


def cell_type(*, size: str, lobes: str, granules: str) -> str:
    """The type of a cell with these attributes."""
    if granules == "coarse":
        return "eosinophil"
    if lobes in ("3", "4"):
        return "neutrophil"
    if lobes == "2":
        return "monocyte"
    return "lymphocyte" if size == "small" else "blast"


def cell_tables(laboratory: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells (`cell`, `path`, `member`, `patient`, `label`, the attributes) and patients (`patient`, `label`), as text."""
    archive = f"results/lab_{laboratory}/simulated/cells.zip"
    cells, patients = [], []
    for number in range(_PATIENTS[laboratory]):
        patient = f"{laboratory.upper()}{number + 1:02d}"
        label = LEUKAEMIA if number % 2 else HEALTHY
        patients.append((patient, label))
        rng = rng_for("demo cells", patient)
        mix = rng.dirichlet(_CONCENTRATION * np.array(_MIX[label]))
        for place in range(CELLS_PER_PATIENT):
            looks = _LOOKS[TYPES[rng.choice(len(TYPES), p=mix)]]
            values = [list(look)[rng.choice(len(look), p=list(look.values()))] for look in looks]
            size, lobes, granules, _ = values
            cell = f"{patient}-{place + 1:02d}"
            kind = cell_type(size=size, lobes=lobes, granules=granules)
            cells.append((cell, archive, f"{cell}.jpg", patient, kind, *values))
    columns = ["cell", "path", "member", "patient", "label", "size", "lobes", "granules", "colour"]
    return pd.DataFrame(cells, columns=columns), pd.DataFrame(patients, columns=["patient", "label"])


def write_tables(folder: Path) -> None:
    """Write the four tables."""
    for laboratory in _PATIENTS:
        for name, table in zip(("cells", "patients"), cell_tables(laboratory), strict=True):
            table.to_csv(folder / f"lab_{laboratory}_{name}.tsv", sep="\t", index=False, lineterminator="\n")


if __name__ == "__main__":
    write_tables(Path(__file__).parents[3] / "config" / "demo")
