"""Section cohorts: tables, files and labels of each."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from histoweave.settings.base import MAX_SEED, Section, Share


class SimulateCells(Section):
    """Cells drawn by the workflow itself from the attributes in their table. Only for the demo and for tests."""

    seed: int = 7
    laboratory: Literal["a", "b"] = Field("a", description="Laboratory that determines stain, background and camera.")


class CellInput(Section):
    """Where a cohort's cells are. A plain string in the config is short for `table`."""

    table: str | None = Field(
        None, description="Table with `cell`, `path`, and the columns listed in config/README.md."
    )
    embeddings: str | None = Field(
        None, description="Folder of embeddings from another program, instead of a table: <patient>.h5 with `features`."
    )
    crop: float = Field(
        1.0, gt=0, le=1, description="Share of the edge length kept around the centre of a picture, to match scales."
    )
    attributes: list[str] = Field([], description="Columns of the table to compare concepts with.")
    label_map: dict[str, str | None] = Field(
        {}, description="Renames or merges cell labels, for example to match another laboratory; null drops them."
    )
    simulate: SimulateCells | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"table": value} if isinstance(value, str) else value


class Simulate(Section):
    """A cohort made by the workflow itself, with a known truth. Only for the demo and for tests."""

    seed: int = Field(7, ge=0, le=MAX_SEED)
    field_um: float = Field(1008.0, gt=200, description="Edge of the square scene of a slide, in µm.")
    n_genes: int = Field(2000, ge=100, description="Genes in the simulated count matrix, including the PAM50 genes.")
    planted_share: Share = Field(0.35, description="Share of a positive slide's tissue that carries the image factor.")
    stain: Share = Field(
        0.0, description="Stain colours, from those of Macenko (0) to those of Ruifrok and Johnston (1)."
    )
    library_scale: float = Field(1.0, gt=0, description="Sequencing depth relative to the other simulated cohorts.")
    no_mpp: list[str] = Field([], description="Slides written without a resolution.")
    no_tissue: list[str] = Field([], description="Slides of empty glass.")
    truncated: list[str] = Field([], description="Slides whose file is cut short.")
    without_rna: list[str] = Field([], description="Patients without an RNA sample.")
    duplicate_aliquot: list[str] = Field([], description="Patients with a second RNA aliquot.")


class ExpressionInput(Section):
    """Where a cohort's RNA is and its unit."""

    path: str = Field(description="A matrix (.tsv, .csv, .parquet, .h5ad, gz) or a folder of GDC STAR-Counts files.")
    unit: Literal["counts", "tpm", "fpkm", "rsem", "log2"] = Field(description="Unit of the values.")
    orientation: Literal["auto", "genes_by_samples", "samples_by_genes"] = "auto"
    sample_sheet: str | None = Field(None, description="GDC sample sheet, for a folder of STAR-Counts files.")


class Cohort(Section):
    """One cohort: its tables, its RNA, its label."""

    role: Literal["train", "external"] = Field(
        "train", description="train: cross-validated on itself; external: predicted by frozen models, never fitted on."
    )
    patients: str | None = Field(
        None, description="Table with `patient`, the label column, `site` (optional), covariates."
    )
    slides: str | None = Field(None, description="Table with `slide`, `patient`, `path`, `mpp` (optional override).")
    expression: ExpressionInput | None = None
    cells: CellInput | None = Field(None, description="Pictures of single cells, or their embeddings.")
    ids: Literal["auto", "tcga", "plain"] = Field(
        "auto", description="auto: TCGA barcode rules if every patient id is a TCGA barcode."
    )
    label: str = Field("label", description="Column of the patients table that holds the label.")
    label_map: dict[str, str | None] = Field(
        {}, description="Renames or merges label values; null drops the patients with that value."
    )
    positive: str | None = Field(
        None, description="Positive class of a binary label; default: the last in alphabetical order."
    )
    simulate: Simulate | None = None

    @property
    def has_tissue(self) -> bool:
        """Whether it has slides or RNA, so that fusion models are fitted."""
        return self.slides is not None or self.expression is not None
