"""The images table of a cohort: every cell, or every slide, with its patient, what is known of it, and its status."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

import h5py
import pandas as pd

from histoweave.errors import InputError
from histoweave.storage.files import write_table
from histoweave.storage.refusal import OK

HEAD = ["image", "patient", "label", "patient_label", "site", "status", "reason", "content"]


def images_of_cells(
    cells: pd.DataFrame,
    *,
    patients: pd.DataFrame | None,
    shards: Iterable[str | os.PathLike],
    attributes: Collection[str] = (),
) -> pd.DataFrame:
    """`images.parquet` of docs/artefacts.md for pictures of cells, in the order of the cells table.

    Parameters
    ----------
    cells: of `table.read_cells`. patients: with `patient`, `label` and `site`, None for a cohort without patients table.
    shards: the files of all its shards.

    Raises
    ------
    InputError
        if the shards do not hold the cells of the table.
    """
    status = shard_status(shards)
    table = cells.merge(status, how="left", on="cell")
    missing = table.loc[table["status"].isna(), "cell"]
    if len(missing):
        raise InputError(
            f"{len(missing)} cells of the table are in no shard file, first '{missing.iloc[0]}'; embed the cells again"
        )
    return _images(table.rename(columns={"cell": "image"}), patients, attributes)


def images_of_embeddings(*, patients: pd.DataFrame | None, shards: Iterable[str | os.PathLike]) -> pd.DataFrame:
    """The same for embeddings made elsewhere (`embed_cells.adopt_embeddings`), in the order of the shards."""
    table = shard_status(shards).rename(columns={"cell": "image"})
    return _images(table.assign(patient=table["image"].str.rsplit("-", n=1).str[0], label=None), patients, ())


def images_of_slides(slides: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """The same for slides, given the cohort stage's `slides.parquet` and `patients.parquet`: image = slide.

    A slide that could be used but has no tile has the status `no_tissue`.
    """
    table = slides.rename(columns={"slide": "image", "features_sha256": "content"}).assign(label=None)
    without = (table["status"] == OK) & (table["n_tiles"] == 0)
    table.loc[without, ["status", "reason"]] = ["no_tissue", "the slide has no tiles"]
    return _images(table, patients, ())


def write_images(path: str | os.PathLike, images: pd.DataFrame) -> None:
    """Write an images table; columns without any value are text all the same."""
    write_table(path, images.astype("string"))


def shard_status(shards: Iterable[str | os.PathLike]) -> pd.DataFrame:
    """`cell`, `status`, `reason` and `content` (a hash of the picture) of every cell, embedded ones first in a file."""
    parts = []
    for path in shards:
        with h5py.File(path) as file:
            names = ("cell", "content", "refused_cell", "refused_status", "refused_reason")
            good, content, *refused = (file[name].asstr()[:] for name in names)
        parts.append(pd.DataFrame({"cell": good, "status": OK, "reason": "", "content": content}, dtype=object))
        parts.append(pd.DataFrame(dict(zip(("cell", "status", "reason"), refused, strict=True)), dtype=object))
    return pd.concat(parts, ignore_index=True)


def check_all_usable(shards: Iterable[str | os.PathLike]) -> int:
    """The number of cells in some shards.

    Raises
    ------
    InputError
        naming the first cell that cannot be used.
    """
    status = shard_status(shards)
    refused = status[status["status"] != OK]
    if len(refused):
        first = refused.iloc[0]
        raise InputError(
            f"{len(refused)} of {len(status)} cells cannot be used, first '{first['cell']}': {first['status']}: "
            f"{first['reason']} (on_error is 'stop'); fix or remove them, or set on_error: continue"
        )
    return len(status)


def _images(table: pd.DataFrame, patients: pd.DataFrame | None, attributes: Collection[str]) -> pd.DataFrame:
    """The columns of the contract, as text; None where a label or an attribute is not known."""
    of_patient = pd.DataFrame(columns=["label", "site"]) if patients is None else patients.set_index("patient")
    known = {
        column: table["patient"].map(of_patient[source].to_dict().get)
        for column, source in (("patient_label", "label"), ("site", "site"))
    }
    table = table.assign(**known)
    images = table[[*HEAD, *attributes]].reset_index(drop=True).astype(object)
    return images.where(images.notna(), None)
