"""Reading the projected tiles of a fold: rows of a memory-mapped file, or of the same file in the memory of a GPU."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import torch

from histoweave.errors import InputError
from histoweave.fusion.projection import DTYPE
from histoweave.fusion.transforms import ImageTransform

_MEND = "delete it, and it is made again"
_GPU_SHARE = 0.5  # of a GPU's free memory that the tiles may take


class TileFile:
    """The file of a fold, as `projection.project` wrote it.

    Attributes
    ----------
    transform : that made the tiles, None if the fold has no training patient with an image. fitted_on : these patients.
    patients : ids of the patients with tiles, sorted.
    """

    def __init__(self, path: str | Path):
        """Read all but the tiles.

        Raises
        ------
        InputError
            naming the file, if it is missing or damaged.
        """
        self.path = Path(path)
        try:
            with h5py.File(path) as file:
                self.patients, self.fitted_on = (list(file[name].asstr()[:]) for name in ("patients", "fitted_on"))
                counts, sampled, sample_rows = (file[name][:] for name in ("counts", "sampled", "sample_rows"))
                self.transform, self._offset = None, 0
                if "tiles" in file:
                    loadings = file["loadings"][:] if "loadings" in file else None
                    self.transform = ImageTransform(file["mean"][:], file["scale"][:], loadings)
                    tiles = file["tiles"]
                    if (tiles.shape, tiles.dtype) != ((counts.sum(), self.transform.width), np.dtype(DTYPE)):
                        raise ValueError(f"tiles of shape {tiles.shape} are not those of its patients")
                    self._offset = tiles.id.get_offset() or 0
            if not len(self.patients) == len(counts) == len(sampled) or sampled.sum() != len(sample_rows):
                raise ValueError("its parts are not of the same patients")
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: not a whole file of projected tiles ({error}); {_MEND}") from None
        ends = np.cumsum(counts)
        self._ranges = {p: (int(end - n), int(n)) for p, end, n in zip(self.patients, ends, counts, strict=True)}
        rows = np.split(sample_rows, np.cumsum(sampled)[:-1]) if len(sampled) else []
        self._samples = dict(zip(self.patients, rows, strict=True))

    def first(self, patient: str) -> int:
        """Row of the patient's first tile."""
        return self._ranges[patient][0]

    def count(self, patient: str) -> int:
        """Number of tiles of a patient."""
        return self._ranges[patient][1]

    def sample(self, patient: str) -> np.ndarray:
        """(S,) int64: rows, from the patient's first, of the fixed sample for the validation loss."""
        return self._samples[patient]

    def read(self, patient: str, rows: np.ndarray | None) -> np.ndarray:
        """Tiles of a patient, (N,k) float16: all, or some rows of them. Only the pages with these rows are touched.

        The file is mapped anew each time, so that what was read before does not count as memory of the process.
        """
        first, n_tiles = self._ranges[patient]
        width = self.width
        if not n_tiles:
            return np.empty((0, width), dtype=DTYPE)
        offset = self._offset + first * width * np.dtype(DTYPE).itemsize
        mapped = np.memmap(self.path, dtype=DTYPE, mode="r", offset=offset, shape=(n_tiles, width))
        return np.array(mapped) if rows is None else mapped[rows]

    @property
    def width(self) -> int:
        """Values per tile."""
        assert self.transform is not None  # without it, no tile is asked for
        return self.transform.width

    @cached_property
    def on_gpu(self) -> torch.Tensor | None:
        """All tiles (N,k) float16 in the memory of the GPU; None where they would take more than half of what is free."""
        n_tiles = sum(n for _, n in self._ranges.values())
        free, _ = torch.cuda.mem_get_info()
        if n_tiles * self.width * np.dtype(DTYPE).itemsize > _GPU_SHARE * free:
            return None
        return self.resident("cuda")

    def resident(self, device: str) -> torch.Tensor:
        """All tiles (N,k) float16 on a device, copied patient by patient."""
        n_tiles = sum(n for _, n in self._ranges.values())
        tiles = torch.empty(n_tiles, self.width, dtype=torch.float16, device=device)
        for patient, (first, n) in self._ranges.items():
            tiles[first : first + n] = torch.from_numpy(self.read(patient, None))
        return tiles


@dataclass(frozen=True, eq=False)
class FoldTiles:
    """The tiles of some patients of a fold, and of no others.

    Attributes
    ----------
    patients : those whose tiles can be read.
    """

    file: TileFile
    patients: frozenset[str]

    @classmethod
    def of(cls, path: str | Path) -> FoldTiles:
        """All patients of a file; errors as of `TileFile`."""
        file = TileFile(path)
        return cls(file, frozenset(file.patients))

    @property
    def transform(self) -> ImageTransform | None:
        """What made the tiles, see `TileFile`."""
        return self.file.transform

    def subset(self, patients: Collection[str]) -> FoldTiles:
        """Only these patients."""
        return replace(self, patients=self.patients & set(patients))

    def __contains__(self, patient: str) -> bool:
        return patient in self.patients

    def count(self, patient: str) -> int:
        """Number of tiles of a patient."""
        return self.file.count(self._known(patient))

    def sample(self, patient: str) -> np.ndarray:
        """Rows of the fixed sample of a patient, see `TileFile.sample`."""
        return self.file.sample(self._known(patient))

    def load(self, patient: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Tiles of a patient (N,k) float32, all or some rows, on the CPU."""
        return self.file.read(self._known(patient), rows).astype(np.float32)

    def _known(self, patient: str) -> str:
        if patient not in self.patients:
            raise KeyError(patient)
        return patient
