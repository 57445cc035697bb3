"""Simulated bulk RNA: negative-binomial counts in which the RNA factor moves part of the PAM50 genes."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from histoweave.expression.genes import PAM50
from histoweave.ids import is_tcga
from histoweave.simulate.factors import factors, rng_for
from histoweave.storage.files import atomic_path, write_table

if TYPE_CHECKING:
    from histoweave.settings.cohorts import Simulate

# Direction of the genes in basal-like against luminal tumours (Parker et al., J Clin Oncol 2009).
RAISED = (
    "BIRC5", "CCNB1", "CCNE1", "CDC20", "CDC6", "CDH3", "CENPF", "CEP55", "EXO1", "FOXC1", "KIF2C", "KRT5",
    "KRT17", "MELK", "MKI67", "MYBL2", "ORC6", "PTTG1", "RRM2", "TYMS", "UBE2C",
)  # fmt: skip
LOWERED = ("BCL2", "ESR1", "FOXA1", "MAPT", "NAT1", "PGR", "SLC39A6")
_SHIFT_LOG2 = 1.5
_SHIFT_SPREAD = 0.15  # relative, between patients
_PROGRAMMES = 3
_PROGRAMME_GENES = 40
_BATCH_LOG2 = 0.06  # standard deviation between sites, gene by gene
_MEAN_COUNT = 500
_LIBRARY_FOLD = 3.0  # largest library / smallest
_TUMOUR, _SECOND_ALIQUOT, _NORMAL = "01A-11R-A001-07", "01B-11R-A001-07", "11A-11R-A001-07"


def gene_names(n_genes: int) -> list[str]:
    """The PAM50 genes, filled up to `n_genes` with invented ones (`SIM0001`, …), sorted by name."""
    return sorted([*PAM50, *(f"SIM{i:04d}" for i in range(1, n_genes - len(PAM50) + 1))])


class _Genes:
    """Everything that belongs to the genes and is the same for all samples."""

    def __init__(self, settings: Simulate):
        self.names = gene_names(settings.n_genes)
        n = len(self.names)
        rng = rng_for(settings.seed, "genes")
        self.base_log2 = rng.normal(0, 1.5, n)
        is_pam50 = np.isin(self.names, PAM50)
        self.base_log2[is_pam50] = rng.normal(0, 0.7, is_pam50.sum())
        self.dispersion = rng.uniform(0.1, 0.5, n)
        self.direction = np.isin(self.names, RAISED).astype(float) - np.isin(self.names, LOWERED)
        # Nuisance programmes use invented genes only, disjoint ones.
        invented = rng.permutation(np.flatnonzero(~is_pam50))
        per_programme = min(_PROGRAMME_GENES, len(invented) // _PROGRAMMES)
        self.programmes = np.zeros((_PROGRAMMES, n))
        for i, row in enumerate(self.programmes):
            chosen = invented[i * per_programme : (i + 1) * per_programme]
            row[chosen] = rng.choice([-1.0, 1.0], per_programme) * rng.uniform(0.3, 0.6, per_programme)


def _profile(genes: _Genes, *, patient: str, site: str, rna_factor: bool, seed: int) -> np.ndarray:
    """Relative log2 expression of a tumour, one value per gene."""
    rng = rng_for(seed, "rna", patient)
    batch = rng_for(seed, "batch", site).normal(0, _BATCH_LOG2, len(genes.names))
    nuisance = rng.standard_normal(_PROGRAMMES) @ genes.programmes
    strength = _SHIFT_LOG2 * (1 + rng.normal(0, _SHIFT_SPREAD))
    return genes.base_log2 + batch + nuisance + rna_factor * strength * genes.direction


def _counts(genes: _Genes, *, log2_profile: np.ndarray, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Negative-binomial counts (gamma-Poisson): variance = mean + dispersion × mean²."""
    library = _LIBRARY_FOLD ** rng.uniform(-0.5, 0.5)
    mean = _MEAN_COUNT * scale * library * 2**log2_profile
    return rng.poisson(rng.gamma(1 / genes.dispersion, genes.dispersion * mean))


def write_expression(path: str | os.PathLike, *, patients: pd.DataFrame, settings: Simulate) -> None:
    """Write the count matrix, genes × samples, as a gzipped TSV; equal arguments give equal bytes.

    Columns are aliquot barcodes made of the patient ids, in the order of the ids; of patients without a TCGA barcode
    the ids themselves, one sample each. Patients in
    `settings.without_rna` have none, those in `settings.duplicate_aliquot` a second aliquot of the tumour
    (`01B`), and the first patient with RNA also a normal sample (`11A`), which carries no factor.

    Parameters
    ----------
    patients
        columns `patient`, `positive` (bool), `site`.
    """
    genes = _Genes(settings)
    seed = settings.seed
    table = patients[~patients["patient"].isin(settings.without_rna)].sort_values("patient")
    columns = {}
    for i, row in enumerate(table.itertuples()):
        rna_factor = factors(row.patient, positive=bool(row.positive), seed=seed).rna
        vials = {_TUMOUR: rna_factor}
        if not is_tcga(row.patient):
            vials = {"": rna_factor}
        elif row.patient in settings.duplicate_aliquot:
            vials[_SECOND_ALIQUOT] = rna_factor
        if i == 0 and is_tcga(row.patient):
            vials[_NORMAL] = False
        for vial, shifted in vials.items():
            profile = _profile(genes, patient=row.patient, site=row.site, rna_factor=shifted, seed=seed)
            barcode = f"{row.patient}-{vial}" if vial else row.patient
            rng = rng_for(seed, "counts", barcode)
            columns[barcode] = _counts(genes, log2_profile=profile, rng=rng, scale=settings.library_scale)
    matrix = pd.DataFrame(columns, index=pd.Index(genes.names, name="gene"))
    text = matrix.to_csv(sep="\t", lineterminator="\n").encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(text, mtime=0))


def write_truth(path: str | os.PathLike, *, patients: pd.DataFrame, settings: Simulate) -> None:
    """Write who carries which factor: `patient`, `label`, `image_factor`, `rna_factor`, sorted by patient.

    Parameters
    ----------
    patients
        columns `patient`, `label`, `positive` (bool).
    """
    table = patients.sort_values("patient")
    drawn = [factors(row.patient, positive=bool(row.positive), seed=settings.seed) for row in table.itertuples()]
    write_table(
        path,
        pd.DataFrame(
            {
                "patient": table["patient"].to_numpy(),
                "label": table["label"].to_numpy(),
                "image_factor": [f.image for f in drawn],
                "rna_factor": [f.rna for f in drawn],
            }
        ),
    )
