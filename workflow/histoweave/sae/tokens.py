"""Tokens of images in HDF5: the patches of a cell, or the tiles of a slide. What a sparse autoencoder reads.

Both forms are blocks of rows: `tokens` of a shard of cells (image after image, bounded by `offsets`), `features` of a
slide's feature file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from histoweave.errors import InputError
from histoweave.storage.records import artefacts


@dataclass(frozen=True)
class Block:
    """The tokens of one image: rows `start` to `stop` of `dataset` in the file `path`."""

    image: str
    path: str
    dataset: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def cell_blocks(path: str) -> list[Block]:
    """The cells of a shard's file (docs/artefacts.md), in its order; refused cells have no block."""
    with h5py.File(path) as file:
        offsets = file["offsets"][:].tolist()
        cells = file["cell"].asstr()[:].tolist()
    return [
        Block(cell, path, "tokens", start, stop)
        for cell, start, stop in zip(cells, offsets[:-1], offsets[1:], strict=True)
    ]


def slide_blocks(features: dict[str, str]) -> list[Block]:
    """The slides of feature files, given slide → path; slides without a tile have no block."""
    blocks = []
    for slide, path in features.items():
        with h5py.File(path) as file:
            n_tiles = len(file["features"])
        if n_tiles:
            blocks.append(Block(slide, path, "features", 0, n_tiles))
    return blocks


class Tokens:
    """Tokens of many images.

    Attributes
    ----------
    blocks: one per image, in the order given.
    dim: length of a token (0 without images). n_tokens: of all images together.
    """

    def __init__(self, blocks: Iterable[Block]):
        """
        Raises
        ------
        InputError
            if files have tokens of different lengths.
        """
        self.blocks = tuple(blocks)
        self.n_tokens = sum(map(len, self.blocks))
        dims: dict[int, str] = {}
        for path, dataset in sorted({(block.path, block.dataset) for block in self.blocks}):
            with h5py.File(path) as file:
                dims.setdefault(file[dataset].shape[1], path)
        if len(dims) > 1:
            (one, first), (other, second), *_ = dims.items()
            raise InputError(
                f"{second}: its tokens have {other} values, those of {first} {one}; embed all with the same encoder"
            )
        self.dim = next(iter(dims), 0)

    @property
    def images(self) -> list[str]:
        """The ids of the images."""
        return [block.image for block in self.blocks]

    def select(self, images: Collection[str]) -> Tokens:
        """Only these images, in the order that they have here."""
        wanted = set(images)
        return Tokens(block for block in self.blocks if block.image in wanted)

    def batches(self, max_tokens: int) -> Iterator[tuple[list[Block], np.ndarray]]:
        """Whole images in order, about `max_tokens` at a time: their blocks, and the tokens (n,D) float32 of all.

        Raises
        ------
        InputError
            naming the image whose tokens hold NaN or infinity.
        """
        group: list[Block] = []
        n = 0
        for block in self.blocks:
            if group and n + len(block) > max_tokens:
                yield group, read(group)
                group, n = [], 0
            group.append(block)
            n += len(block)
        if group:
            yield group, read(group)


def tokens_of(paths: Sequence[str]) -> Tokens:
    """The tokens in shards of cells (.h5), or of the slides that the indexes of feature shards name (.json)."""
    cells = [path for path in paths if path.endswith(".h5")]
    slides = slide_blocks(artefacts(path for path in paths if path.endswith(".json")))
    return Tokens([*(block for path in cells for block in cell_blocks(path)), *slides])


def read_features(shards: Sequence[str | os.PathLike], images: Sequence[str]) -> np.ndarray:
    """The encoder's own embedding of each of `images`: (N,P) float32.

    Raises
    ------
    InputError
        if no shard has one of the images, or the shards' embeddings differ in length.
    """
    place = {image: row for row, image in enumerate(images)}
    features = None
    missing = np.ones(len(images), dtype=bool)
    for shard in shards:
        with h5py.File(shard) as file:
            given = file["features"][:]
            cells = file["cell"].asstr()[:]
        if not given.shape[1]:  # of files that were all refused: nobody knows how long their vectors are
            continue
        if features is None:
            features = np.zeros((len(images), given.shape[1]), dtype=np.float32)
        if given.shape[1] != features.shape[1]:
            raise InputError(
                f"{shard}: embeddings have {given.shape[1]} values, others {features.shape[1]}; embed again"
            )
        known = [row for row, cell in enumerate(cells) if cell in place]
        rows = [place[cells[row]] for row in known]
        features[rows] = given[known]
        missing[rows] = False
    if missing.any():
        raise InputError(f"no shard has an embedding of image '{images[int(np.argmax(missing))]}'; embed it again")
    return np.zeros((0, 0), np.float32) if features is None else features


def read(group: list[Block]) -> np.ndarray:
    """The tokens (n,D) float32 of some blocks, one after the other.

    Raises
    ------
    InputError
        naming the image whose tokens hold NaN or infinity.
    """
    values: np.ndarray | None = None
    start = row = 0
    while start < len(group):  # neighbours in one file are read at once
        stop = start + 1
        while stop < len(group) and _follows(group[stop - 1], group[stop]):
            stop += 1
        first, last = group[start], group[stop - 1]
        with h5py.File(first.path) as file:
            dataset = file[first.dataset]
            if values is None:
                values = np.empty((sum(map(len, group)), dataset.shape[1]), np.float32)
            rows = values[row : row + last.stop - first.start]
            if dataset.dtype == rows.dtype:
                dataset.read_direct(rows, np.s_[first.start : last.stop])
            else:
                rows[:] = dataset[first.start : last.stop]
        row += len(rows)
        start = stop
    assert values is not None  # there is a block
    check_finite(values, group)
    return values


def _follows(one: Block, other: Block) -> bool:
    return (one.path, one.dataset, one.stop) == (other.path, other.dataset, other.start)


def check_finite(values: np.ndarray, blocks: Iterable[Block]) -> None:
    """
    Raises
    ------
    InputError
        naming the first image whose rows of `values` (those of `blocks`, one after the other) are not all finite.
    """
    if np.isfinite(values).all():
        return
    row = 0
    for block in blocks:
        if not np.isfinite(values[row : row + len(block)]).all():
            raise InputError(
                f"{block.path}: the tokens of '{block.image}' hold NaN or infinity; embed it again, or leave it out"
            )
        row += len(block)
