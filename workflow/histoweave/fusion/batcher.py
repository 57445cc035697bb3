"""Patients after fitted transforms, as padded batches on the device of the model."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from histoweave.errors import InputError
from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.models.base import Batch
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.projected import FoldTiles
from histoweave.fusion.transforms import ImageTransform, Transforms

_log = logging.getLogger(__name__)


class _Source(Protocol):
    """Transformed tiles by patient."""

    def __contains__(self, patient: str) -> bool: ...

    def load(self, patient: str, rows: np.ndarray | None = None) -> np.ndarray:
        """(N,k) float32: all tiles of a patient, or some rows."""
        ...


class Batcher:
    """Patients of a set after fitted transforms.

    Tiles come from the projected tiles of the fold where the set has them and the transform is theirs, else from the feature
    files, transformed as they are read: the same numbers but for the rounding to float16, and slower.

    Parameters
    ----------
    pooled : the model reads nothing of the tiles but their mean: a patient has one tile, which is that.
    device : where batches are put.

    Raises
    ------
    InputError
        if a patient with an image has no usable slide.
    """

    def __init__(self, patients: PatientSet, transforms: Transforms, *, pooled: bool = False, device: str = "cpu"):
        self.ids, self.codes = patients.ids, torch.from_numpy(patients.codes)
        self._patients, self._transforms, self._device = patients, transforms, device
        with_image = patients.having(IMAGE) if transforms.image else []
        self._source = _source(patients, transforms.image, pooled=pooled)
        if lost := [patient for patient in with_image if patient not in self._source]:
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

    def coords(self, patient: str) -> pd.DataFrame:
        """Table `slide`, `x_lv0`, `y_lv0` (int64) of a patient's tiles, in the order of a batch of all tiles."""
        return BagStore(self._patients.slides).coords(patient)

    def genes(self) -> np.ndarray:
        """(n,G) float32 of all patients, who must all have expression."""
        return np.stack([self._genes[patient] for patient in self.ids])

    def complete(self) -> list[str]:
        """Ids of the patients with tiles and genes that the transforms apply to, sorted."""
        return [patient for patient in self.ids if self.has_image(patient) and patient in self._genes]

    def pooled(self, patients: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean tiles (n,k) float32, genes (n,G) float32 and label codes (n,) of patients who are `complete`.

        The transform is affine, so the mean of a patient's transformed tiles is the transform of their mean.
        """
        assert self._transforms.image is not None
        codes = dict(zip(self.ids, self.codes.numpy(), strict=True))
        means = self._transforms.image(self._patients.mean_tiles(patients))
        genes = np.stack([self._genes[patient] for patient in patients])
        return means, genes, np.array([codes[patient] for patient in patients])

    def batch(
        self,
        image_of: list[str],
        expression_of: list[str],
        *,
        rng: np.random.Generator | None = None,
        max_tiles: int | None = None,
        sample: bool = False,
    ) -> Batch:
        """Pad the tiles of `image_of[i]` and join them with the genes of `expression_of[i]`.

        Parameters
        ----------
        rng, max_tiles : if both are given, at most `max_tiles` tiles of a patient, drawn without replacement, in file order.
        sample : only the tiles that the validation loss is taken on. Both need projected tiles.
        """
        rows = [self._rows(patient, rng=rng, max_tiles=max_tiles, sample=sample) for patient in image_of]
        tiles, mask = self._tiles(image_of, rows)
        has_image = torch.tensor([self.has_image(patient) for patient in image_of])
        genes, has_expression = self.expression(expression_of)
        return Batch(tiles, mask, genes, has_image, has_expression).to(self._device)

    def expression(self, patients: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Genes (B,G) of these patients, zeros where they have none, and whether they have (B,)."""
        nothing = np.zeros(self._n_genes, dtype=np.float32)
        genes = torch.from_numpy(np.stack([self._genes.get(patient, nothing) for patient in patients]))
        there = torch.tensor([patient in self._genes for patient in patients])
        return genes.to(self._device), there.to(self._device)

    def _rows(
        self, patient: str, *, rng: np.random.Generator | None, max_tiles: int | None, sample: bool
    ) -> np.ndarray | None:
        """Which tiles of a patient are wanted, None for all."""
        if not self.has_image(patient) or not isinstance(self._source, FoldTiles):
            return None
        if sample:
            return self._source.sample(patient)
        n_tiles = self._source.count(patient)
        if rng is None or max_tiles is None or n_tiles <= max_tiles:
            return None
        return np.sort(rng.choice(n_tiles, size=max_tiles, replace=False))

    def _tiles(self, patients: list[str], rows: list[np.ndarray | None]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded tiles (B,N,k) float32 and their mask (B,N)."""
        if self._device == "cuda" and isinstance(self._source, FoldTiles) and self._source.file.on_gpu is not None:
            file = self._source.file
            wanted = [
                file.first(patient) + (np.arange(file.count(patient)) if chosen is None else chosen)
                if self.has_image(patient)
                else np.empty(0, dtype=np.int64)
                for patient, chosen in zip(patients, rows, strict=True)
            ]
            return gather(self._source.file.on_gpu, wanted)
        empty = np.zeros((0, self._n_values), dtype=np.float32)
        return collate(
            [
                self._source.load(patient, chosen) if self.has_image(patient) else empty
                for patient, chosen in zip(patients, rows, strict=True)
            ]
        )


class _MeanTiles:
    """The mean of a patient's tiles in place of the tiles."""

    def __init__(self, patients: PatientSet, transform: ImageTransform):
        self._patients, self._transform = patients, transform
        self._known = BagStore(patients.slides) if patients.means is None else patients.means

    def __contains__(self, patient: str) -> bool:
        return patient in self._known

    def load(self, patient: str, rows: np.ndarray | None = None) -> np.ndarray:
        """(1,k) float32."""
        return self._transform(self._patients.mean_tiles([patient]))


def _source(patients: PatientSet, transform: ImageTransform | None, *, pooled: bool) -> _Source:
    """Where the tiles of these patients come from."""
    if transform is None:
        return BagStore(patients.slides.iloc[:0])
    if pooled:
        return _MeanTiles(patients, transform)
    if patients.tiles is None:
        return BagStore(patients.slides, transform=transform)
    if patients.tiles.transform is None or not patients.tiles.transform.equals(transform):
        _log.warning(
            "%s was made by another transform than the model's: its tiles are read from the features",
            patients.tiles.file.path,
        )
        return BagStore(patients.slides, transform=transform)
    return patients.tiles


def collate(bags: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Bags of (N_i,k) to padded tiles (B,N,k) float32 and their mask (B,N) bool; N is the largest N_i, at least 1."""
    n_tiles = max(1, *(len(bag) for bag in bags))
    tiles = torch.zeros(len(bags), n_tiles, bags[0].shape[1])
    mask = torch.zeros(len(bags), n_tiles, dtype=torch.bool)
    for row, bag in enumerate(bags):
        tiles[row, : len(bag)] = torch.from_numpy(bag)
        mask[row, : len(bag)] = True
    return tiles, mask


def gather(resident: torch.Tensor, wanted: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as `collate`, from rows of tiles (M,k) that lie on the device; padding holds any tile."""
    n_tiles = max(1, *(len(rows) for rows in wanted))
    index, mask = np.zeros((len(wanted), n_tiles), dtype=np.int64), np.zeros((len(wanted), n_tiles), dtype=bool)
    for row, rows in enumerate(wanted):
        index[row, : len(rows)], mask[row, : len(rows)] = rows, True
    device = resident.device
    return resident[torch.from_numpy(index).to(device)].float(), torch.from_numpy(mask).to(device)
