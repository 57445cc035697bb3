"""The demo's external cohort: the tables `config/demo/hospital_b_{patients,slides}.tsv` of another hospital."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from histoweave.simulate.demo_tables import NEGATIVE, POSITIVE
from histoweave.simulate.factors import rng_for

_COHORT = {"north": (8, 20), "south": (6, 16)}  # positive and all patients of a site
_FOLDER = "results/hospital_b/simulated/slides"
WITHOUT_SLIDE = ("HB-N04", "HB-S07")
WITHOUT_RNA = ("HB-N11", "HB-S02")


def external_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients (`patient`, `label`, `site`) and slides (`slide`, `patient`, `path`) of 36 patients at 2 sites."""
    patients, slides = [], []
    for site, (positive, total) in _COHORT.items():
        chosen = set(rng_for("hospital_b", site).permutation(total)[:positive])
        for i in range(total):
            patient = f"HB-{site[0].upper()}{i + 1:02d}"
            patients.append((patient, POSITIVE if i in chosen else NEGATIVE, site))
            if patient not in WITHOUT_SLIDE:
                slides.append((f"{patient}-1", patient, f"{_FOLDER}/{patient}-1.tiff"))
    return (
        pd.DataFrame(patients, columns=["patient", "label", "site"]),
        pd.DataFrame(slides, columns=["slide", "patient", "path"]),
    )


def write_tables(folder: Path) -> None:
    """Write the two tables."""
    for name, table in zip(("patients", "slides"), external_tables(), strict=True):
        table.to_csv(folder / f"hospital_b_{name}.tsv", sep="\t", index=False, lineterminator="\n")


if __name__ == "__main__":
    write_tables(Path(__file__).parents[3] / "config" / "demo")
