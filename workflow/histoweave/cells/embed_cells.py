"""From the pictures of many cells, or from embeddings made elsewhere, to the file of a shard of cells."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from histoweave.cells.network import TokenNetwork
from histoweave.cells.pictures import PictureReader, Place, places_of
from histoweave.cells.shard_file import CHUNK_BYTES, CellShardFile
from histoweave.encoders.loading import load
from histoweave.errors import InputError
from histoweave.mechanics.ahead import ahead
from histoweave.mechanics.device import resolve_device
from histoweave.settings.base import OnError
from histoweave.settings.cells import Cells
from histoweave.storage.datasets import dataset
from histoweave.storage.files import atomic_path
from histoweave.storage.folders import check_readable
from histoweave.storage.foreign_hdf5 import LARGEST, open_h5, text
from histoweave.storage.refusal import Refusal, words_of

logger = logging.getLogger(__name__)


def embed_shard(
    cells: pd.DataFrame,
    *,
    out_h5: str | os.PathLike,
    settings: Cells,
    crop: float,
    on_error: OnError,
    device: str,
    batch: int,
    read_workers: int,
) -> dict[str, int]:
    """Encode the pictures of a shard's cells into its file, in the order of their places.

    A cell whose picture cannot be used, or whose tokens are not finite, is listed in the file with a status.

    Parameters
    ----------
    cells: of `table.read_cells`, some rows.
    crop: `crop` of `settings.cohorts.CellInput`.
    batch, read_workers: cells per forward pass and threads that read; they change the speed, and the result by float
        rounding at most.

    Returns
    -------
    Cells by status.

    Raises
    ------
    InputError
        with `on_error="stop"` for a status other than `ok` (nothing is written then); for an encoder that cannot be
        loaded or a block that it does not have.
    """
    network = TokenNetwork(
        load(settings.encoder), block=settings.block, final_norm=settings.final_norm, device=resolve_device(device)
    )
    return embed_with(
        network, cells, out_h5=out_h5, precision=settings.precision, crop=crop, on_error=on_error, batch=batch,
        read_workers=read_workers,
    )  # fmt: skip


def embed_with(
    network: TokenNetwork,
    cells: pd.DataFrame,
    *,
    out_h5: str | os.PathLike,
    precision: str,
    crop: float,
    on_error: OnError,
    batch: int,
    read_workers: int,
) -> dict[str, int]:
    """As `embed_shard`, with a network that is at hand."""
    encoder = network.encoder
    cells = cells.sort_values(["path", "member", "cell"], ignore_index=True)  # cells of one picture: read together
    attributes = {
        "encoder": encoder.name,
        "weights_sha256": encoder.weights_sha256,
        "block": network.block,
        "final_norm": network.final_norm,
        "crop": crop,
        "grid": network.grid,
        "prefix_tokens": network.prefix_tokens,
    }
    started = time.perf_counter()
    with (
        atomic_path(out_h5) as temporary,
        CellShardFile(
            temporary, dim=network.dim, n_features=network.n_features, precision=precision, attributes=attributes
        ) as file,
        PictureReader(edge_px=encoder.input_px, crop=crop, interpolation=encoder.interpolation) as reader,
        # Closed first of all: its threads read from the reader's archives.
        closing(ahead(reader.read_all, _batches(places_of(cells), batch), workers=read_workers)) as pictures,
    ):
        for start, found in zip(range(0, len(cells), batch), pictures, strict=True):
            _put(file, network, cells["cell"][start : start + batch].to_list(), found, on_error)
        counts = file.counts()
    logger.info("%s: %s, %.1f cells/s", out_h5, counts, len(cells) / (time.perf_counter() - started))
    return counts


def adopt_embeddings(files: Mapping[str, str], *, out_h5: str | os.PathLike, on_error: OnError) -> dict[str, int]:
    """Write the file of a shard from embeddings made elsewhere: each cell has one token, its vector.

    A file holds `features` (cells, D) and may name its `encoder` in an attribute. Row n becomes the cell
    `<patient>-<n>`, counted from 0; its number format is kept (float64 becomes float32). A row that is not finite is
    refused as `not_finite`, one that no network gives (all zeros, or beyond `LARGEST`) as `bad_features`, those of a
    damaged part of the file as `unreadable`. A file that gives no cell is one entry `<patient>-none` with the status
    `empty_patient`, `missing_file`, `unreadable` or `bad_features`.

    Parameters
    ----------
    files: patient → file.

    Returns
    -------
    Cells by status.

    Raises
    ------
    InputError
        if files have vectors of different lengths or from different encoders; with `on_error="stop"` for a status
        other than `ok`.
    """
    shapes: dict[str, tuple[int, np.dtype, str]] = {}
    refused: dict[str, Refusal] = {}
    for patient, path in files.items():
        try:
            shapes[patient] = _given_shape(path)
        except Refusal as refusal:
            refused[patient] = refusal
            _stop_at(f"patient '{patient}' ({path})", refusal, on_error)
    dim, encoder = _common(shapes, files)
    halves = bool(shapes) and all(dtype == np.float16 for _, dtype, _ in shapes.values())
    attributes = {
        "encoder": encoder, "weights_sha256": "", "block": 0, "final_norm": False, "crop": 1.0, "grid": (0, 0),
        "prefix_tokens": 0,
    }  # fmt: skip
    with (
        atomic_path(out_h5) as temporary,
        CellShardFile(
            temporary, dim=dim, n_features=dim, precision="float16" if halves else "float32", attributes=attributes
        ) as file,
    ):
        for patient, path in files.items():
            if patient in refused:
                file.refuse(f"{patient}-none", refused[patient])
                continue
            for start, stop, rows in _rows(path, dim=dim):
                cells = [f"{patient}-{number}" for number in range(start, stop)]
                if isinstance(rows, Refusal):
                    _stop_at(f"cell '{cells[0]}' ({path})", rows, on_error)
                    for cell in cells:
                        file.refuse(cell, rows)
                    continue
                refusals = [_objection(row) for row in rows]
                good = [at for at, refusal in enumerate(refusals) if refusal is None]
                kept = rows[good]
                odd = [(cell, refusal) for cell, refusal in zip(cells, refusals, strict=True) if refusal is not None]
                for cell, why in odd:
                    file.refuse(cell, why)
                odd += file.put([cells[at] for at in good], kept[:, None], kept, source=kept)
                for cell, why in odd:
                    _stop_at(f"cell '{cell}' ({path})", why, on_error)
        return file.counts()


def _objection(row: np.ndarray) -> Refusal | None:
    """Why no network gave this vector (D,); values that are not finite are told by `CellShardFile.put`."""
    largest = float(np.abs(row).max())
    if largest == 0:
        return Refusal("bad_features", "all its values are 0, as of a cell that was never embedded")
    if LARGEST < largest < np.inf:
        return Refusal("bad_features", f"a value is beyond {LARGEST:g}, which no network gives")
    return None


def _batches(places: list[Place], batch: int) -> Iterator[list[Place]]:
    return (places[start : start + batch] for start in range(0, len(places), batch))


def _put(
    file: CellShardFile,
    network: TokenNetwork,
    cells: list[str],
    found: Iterable[np.ndarray | Refusal],
    on_error: OnError,
) -> None:
    """Encode a batch of pictures and write it; what cannot be used is refused."""
    good, images = [], []
    for cell, picture in zip(cells, found, strict=True):
        if isinstance(picture, Refusal):
            _stop_at(f"cell '{cell}'", picture, on_error)
            file.refuse(cell, picture)
        else:
            good.append(cell)
            images.append(picture)
    if images:
        pictures = np.stack(images)
        for cell, refusal in file.put(good, *network(pictures), source=pictures):
            _stop_at(f"cell '{cell}'", refusal, on_error)


def _stop_at(what: str, refusal: Refusal, on_error: OnError) -> None:
    if on_error == "stop":
        raise InputError(f"{what}: {refusal} (on_error is 'stop')") from None
    logger.warning("%s: %s", what, refusal)


def _given_shape(path: str) -> tuple[int, np.dtype, str]:
    """Length of a vector, number format and encoder of a file of embeddings."""
    check_readable(path)
    with open_h5(Path(path)) as file:
        rows = dataset(file, "features")
        if rows is None:
            raise Refusal("bad_features", f"the file has no dataset 'features'; it has {', '.join(file) or 'none'}")
        if rows.ndim != 2 or rows.dtype.kind != "f" or not rows.shape[1]:
            raise Refusal(
                "bad_features",
                f"'features' has shape {rows.shape} and type {rows.dtype}, not one row of floating-point numbers "
                "per cell",
            )
        if not len(rows):
            raise Refusal("empty_patient", f"{Path(path).name} holds no cells")
        return rows.shape[1], rows.dtype, text(file.attrs.get("encoder", rows.attrs.get("encoder", "unknown")))


def _common(shapes: Mapping[str, tuple[int, Any, str]], files: Mapping[str, str]) -> tuple[int, str]:
    """The length of a vector and the encoder of all files; 0 and `unknown` without a file."""
    first: tuple[str, int, str] | None = None
    for patient, (dim, _, encoder) in shapes.items():
        if first is None:
            first = (patient, dim, encoder)
        elif first[1:] != (dim, encoder):
            raise InputError(
                f"{files[patient]}: its vectors have {dim} values of encoder '{encoder}', those of {files[first[0]]} "
                f"{first[1]} of '{first[2]}'; embed all patients with the same encoder"
            )
    return first[1:] if first else (0, "unknown")


def _rows(path: str, *, dim: int) -> Iterator[tuple[int, int, np.ndarray | Refusal]]:
    """The rows of a file in blocks of about 1 MiB: first row, the one after the last, and (n,D) float32 (float16 where
    the file has it), or `unreadable` for a block that is damaged."""
    step = max(1, CHUNK_BYTES // (4 * dim))
    with h5py.File(path) as file:
        rows = file["features"]
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            try:
                with np.errstate(over="ignore"):
                    block = rows[start:stop]
                    yield start, stop, block if block.dtype == np.float16 else block.astype(np.float32)
            except OSError as error:
                words = f"rows {start} to {stop - 1} of {Path(path).name} cannot be read: {words_of(error)}"
                yield start, stop, Refusal("unreadable", words)
