"""A set of patients with all that is known of them. Fitting gets one such set, cut before the call, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from histoweave.errors import InputError
from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import EXPRESSION, ModelInfo
from histoweave.fusion.models.base import Batch
from histoweave.fusion.transforms import Transforms


@dataclass(frozen=True)
class PatientSet:
    """Patients and their data.

    Attributes
    ----------
    table : one row per patient, indexed by patient, sorted: `code` (int64, the label's class), `has_image`,
        `has_expression` (bool).
    slides : `slide`, `patient`, `status`, `features` of these patients only.
    expression : patients × genes, log2, rows of these patients only; None if the cohort has no RNA.
    """

    table: pd.DataFrame
    slides: pd.DataFrame
    expression: pd.DataFrame | None

    @classmethod
    def of(
        cls, patients: pd.DataFrame, *, slides: pd.DataFrame, expression: pd.DataFrame | None, classes: list[str]
    ) -> PatientSet:
        """From the cohort's tables: the included patients.

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
        return cls(table, slides, expression).subset(table.index)

    def subset(self, patients: Iterable[str]) -> PatientSet:
        """Only these patients: their rows of every table are copied, the others' are gone."""
        table = self.table.loc[sorted(patients)].copy()
        slides = self.slides[self.slides["patient"].isin(table.index)].copy()
        expression = self.expression
        if expression is not None:
            expression = expression.loc[table.index[table["has_expression"]]].copy()
        return replace(self, table=table, slides=slides, expression=expression)

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


class Batcher:
    """Patients of a set after fitted transforms, as padded batches."""

    def __init__(self, patients: PatientSet, transforms: Transforms):
        self.ids, self.codes = patients.ids, torch.from_numpy(patients.codes)
        self.bags = BagStore(patients.slides, transform=transforms.image)
        with_image = patients.having("image") if transforms.image else []
        if lost := [patient for patient in with_image if patient not in self.bags]:
            raise InputError(
                f"patient {lost[0]}: has_image is true, but no slide has the status ok; make the cohort again"
            )
        self._with_image = frozenset(with_image)
        self._genes: dict[str, np.ndarray] = {}
        self._n_genes, self._n_values = 1, 1
        if transforms.image:
            self._n_values = transforms.image.width
        if transforms.expression:
            self._n_genes = len(transforms.expression.kept_genes)
            ids = patients.having(EXPRESSION)
            assert patients.expression is not None
            self._genes = dict(zip(ids, transforms.expression(patients.expression.loc[ids]), strict=True))

    def has_image(self, patient: str) -> bool:
        """True if the patient has tiles that the transforms apply to."""
        return patient in self._with_image

    def genes(self) -> np.ndarray:
        """(n,G) float32 of all patients, who must all have expression."""
        return np.stack([self._genes[patient] for patient in self.ids])

    def complete(self) -> list[str]:
        """Ids of the patients with tiles and genes that the transforms apply to, sorted."""
        return [patient for patient in self.ids if self.has_image(patient) and patient in self._genes]

    def pooled(self, patients: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean tiles (n,k) float32, genes (n,G) float32 and label codes (n,) of patients who are `complete`."""
        codes = dict(zip(self.ids, self.codes.numpy(), strict=True))
        means = np.stack([self.bags.mean(patient) for patient in patients]).astype(np.float32)
        genes = np.stack([self._genes[patient] for patient in patients])
        return means, genes, np.array([codes[patient] for patient in patients])

    def batch(
        self,
        image_of: list[str],
        expression_of: list[str],
        *,
        rng: np.random.Generator | None = None,
        max_tiles: int | None = None,
    ) -> Batch:
        """Pad the tiles of `image_of[i]` and join them with the genes of `expression_of[i]`.

        rng, max_tiles : as in `BagStore.load`.
        """
        empty = np.zeros((0, self._n_values), dtype=np.float32)
        bags = [
            self.bags.load(patient, rng=rng, max_tiles=max_tiles) if self.has_image(patient) else empty
            for patient in image_of
        ]
        nothing = np.zeros(self._n_genes, dtype=np.float32)
        genes = np.stack([self._genes.get(patient, nothing) for patient in expression_of])
        tiles, mask = collate(bags)
        return Batch(
            tiles,
            mask,
            torch.from_numpy(genes),
            torch.tensor([self.has_image(patient) for patient in image_of]),
            torch.tensor([patient in self._genes for patient in expression_of]),
        )


def collate(bags: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Bags of (N_i,k) to padded tiles (B,N,k) float32 and their mask (B,N) bool; N is the largest N_i, at least 1."""
    n_tiles = max(1, *(len(bag) for bag in bags))
    tiles = torch.zeros(len(bags), n_tiles, bags[0].shape[1])
    mask = torch.zeros(len(bags), n_tiles, dtype=torch.bool)
    for row, bag in enumerate(bags):
        tiles[row, : len(bag)] = torch.from_numpy(bag)
        mask[row, : len(bag)] = True
    return tiles, mask
