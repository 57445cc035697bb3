"""A set of patients with all that is known of them. Fitting gets one such set, cut before the call, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import ModelInfo
from histoweave.fusion.projected import FoldTiles


@dataclass(frozen=True)
class PatientSet:
    """Patients and their data.

    Attributes
    ----------
    table : one row per patient, indexed by patient, sorted: `code` (int64, the label's class), `has_image`,
        `has_expression` (bool).
    slides : `slide`, `patient`, `status`, `features` of these patients only.
    expression : patients × genes, log2, rows of these patients only; None if the cohort has no RNA.
    means : mean tile (D,) float64 of these patients only; None where no summary was made: they are read then.
    tiles : projected tiles of these patients only, of one fold; None outside the folds.
    """

    table: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame | None
    means: dict[str, np.ndarray] | None = None
    tiles: FoldTiles | None = None

    @classmethod
    def of(
        cls,
        patients: pd.DataFrame,
        *,
        slides: pd.DataFrame,
        expression: pd.DataFrame | None,
        classes: list[str],
        means: dict[str, np.ndarray] | None = None,
        tiles: FoldTiles | None = None,
    ) -> PatientSet:
        """From the cohort's tables: the included patients.

        means : mean tiles (`tile_summary.read_means`). tiles : of the fold that is asked about.

        Raises
        ------
        InputError
            for a label that is not among `classes`.
        """
        included = patients[patients["included"]].set_index("patient").sort_index()
        codes = included["label"].map({label: code for code, label in enumerate(classes)})
        if codes.isna().any():
            patient = codes.index[codes.isna()][0]
            raise InputError(f"patient {patient}: label '{included.loc[patient, 'label']}' is not one of {classes}")
        table = included[["has_image", "has_expression"]].astype(bool).assign(code=codes.astype(np.int64))
        if expression is not None:
            expression = expression.set_index("patient")
        return cls(table, slides, expression, means, tiles).subset(table.index)

    def subset(self, patients: Iterable[str]) -> PatientSet:
        """Only these patients: their rows of every table are copied, the others' are gone."""
        table = self.table.loc[sorted(patients)].copy()
        slides = self.slides[self.slides["patient"].isin(table.index)].copy()
        expression = self.expression
        if expression is not None:
            expression = expression.loc[table.index[table["has_expression"]]].copy()
        means = None if self.means is None else {p: self.means[p] for p in table.index if p in self.means}
        tiles = None if self.tiles is None else self.tiles.subset(table.index)
        return replace(self, table=table, slides=slides, expression=expression, means=means, tiles=tiles)

    def handled_by(self, info: ModelInfo) -> PatientSet:
        """The patients that a model can predict."""
        able = [info.handles(has_image=r.has_image, has_expression=r.has_expression) for r in self.table.itertuples()]
        return self.subset(self.table.index[able])

    @property
    def ids(self) -> list[str]:
        """Patient ids, sorted."""
        return list(self.table.index)

    @property
    def codes(self) -> np.ndarray:
        """(n,) int64: class of each patient."""
        return self.table["code"].to_numpy(np.int64)

    def having(self, modality: str) -> list[str]:
        """Ids of the patients with a modality, sorted."""
        return list(self.table.index[self.table[f"has_{modality}"]])

    def mean_tiles(self, patients: Iterable[str]) -> np.ndarray:
        """Mean features of all tiles of each of these patients, (n,D) float64."""
        if self.means is not None:
            return np.stack([self.means[patient] for patient in patients])
        bags = BagStore(self.slides)
        return np.stack([bags.mean(patient) for patient in patients])
