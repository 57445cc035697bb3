"""The demo cohort's tables, `config/demo/patients.tsv` and `slides.tsv`, with their deliberate defects."""

from __future__ import annotations

import pandas as pd

from histoweave.simulate.factors import rng_for
from histoweave.simulate.scene import SITES

POSITIVE, NEGATIVE = "Basal_Her2", "Luminal"
_COHORT = {"ZA": (8, 20), "ZB": (6, 16), "ZC": (6, 14), "ZD": (4, 10)}  # positive and all patients of a site
_FOLDER = "results/demo/simulated/slides"

NO_MPP = "TCGA-ZB-0005"  # the only slide has no mpp of its own; the table overrides it
SECOND_SLIDE = ("TCGA-ZA-0003", "TCGA-ZC-0004")
EXTRA_NO_TISSUE = "TCGA-ZA-0011"
EXTRA_TRUNCATED = "TCGA-ZC-0009"
WITHOUT_SLIDE = "TCGA-ZD-0007"
WITHOUT_RNA = "TCGA-ZB-0012"
DUPLICATE_ALIQUOT = "TCGA-ZA-0016"


def demo_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients (`patient`, `label`, `site`, `age`) and slides (`slide`, `patient`, `path`, `mpp`).

    60 patients of 4 sites, 24 of them positive. `mpp` is text, empty where the slide knows its own spacing.
    """
    patients, slides = [], []
    for site, (positive, total) in _COHORT.items():
        rng = rng_for("demo", site)
        chosen = set(rng.permutation(total)[:positive])
        for i in range(total):
            patient = f"TCGA-{site}-{i + 1:04d}"
            label = POSITIVE if i in chosen else NEGATIVE
            patients.append((patient, label, site, int(rng.integers(32, 86))))
            if patient == WITHOUT_SLIDE:
                continue
            twice = (*SECOND_SLIDE, EXTRA_NO_TISSUE, EXTRA_TRUNCATED)
            for number in (1, 2) if patient in twice else (1,):
                slide = f"{patient}-01Z-00-DX{number}"
                mpp = f"{SITES[site].mpp:.2f}" if patient == NO_MPP else ""
                slides.append((slide, patient, f"{_FOLDER}/{slide}.tiff", mpp))
    return (
        pd.DataFrame(patients, columns=["patient", "label", "site", "age"]),
        pd.DataFrame(slides, columns=["slide", "patient", "path", "mpp"]),
    )
