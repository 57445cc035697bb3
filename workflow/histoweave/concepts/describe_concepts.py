"""What one rule runs for one cohort: from its activations to tables of concepts, associations and vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.association import associations, worth_keeping
from histoweave.concepts.review import NO_REVIEW, read_review
from histoweave.concepts.statistics import aligned, concept_table, top_images
from histoweave.concepts.vectors import class_vectors, patient_vectors
from histoweave.errors import InputError
from histoweave.sae.tokens import read_features
from histoweave.settings.concepts import Concepts
from histoweave.storage.files import read_table, write_table


def concepts_stage(
    *,
    activations: str | os.PathLike,
    images: str | os.PathLike,
    shards: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    settings: Concepts,
    attributes: Sequence[str] = (),
) -> None:
    """Write what is known of a cohort's concepts.

    Parameters
    ----------
    activations: of `ImageActivations.save`, with `sae_sha256` among its attributes. images: the images table.
    shards: the cohort's shard files, for the encoder's own embedding; without any, `monosemanticity` is NaN.
    folder: where the tables go. attributes: columns of the images table that concepts are compared with.

    Files
    -----
    `concepts.parquet`: `statistics.concept_table`, then `name`, `verdict` and `comment` of the review (empty without
        one).
    `top_images.parquet`: `statistics.top_images`.
    `associations.parquet`: of `association.associations`, all rows with q < 0.05, and of each concept and target the
        one furthest from AUROC ½ even if q is larger; q is over all rows, also those that are not kept.
    `patients.parquet`: `patient`, `concept`, `mean` (over the patient's images), `n_images`; zeros are left out.
    `classes.parquet`: `target` (`label`: mean over images; `patient_label`: over patients), `class`, `concept`,
        `mean`, `n` (images or patients of the class); zeros are left out.

    Raises
    ------
    InputError
        for a review that does not fit, an image without embedding or without a row in the images table, an attribute
        that the table lacks or that has too many values.
    """
    encoded = ImageActivations.load(activations)
    table = aligned(read_table(images), encoded.images)
    for attribute in attributes:
        if attribute not in table:
            raise InputError(f"{images}: has no attribute '{attribute}'; take it out of the config, or into the table")
    review = NO_REVIEW
    if settings.review is not None:
        review = read_review(settings.review, sae_sha256=encoded.attributes["sae_sha256"], n_latents=encoded.n_latents)
    features = read_features(shards, encoded.images) if shards else None
    top = top_images(encoded, settings.top_images)
    concepts = concept_table(encoded, table, settings=settings, features=features, top=top)
    folder = Path(folder)
    write_table(folder / "concepts.parquet", named(concepts, review))
    write_table(folder / "top_images.parquet", top)
    found = associations(encoded.mean, table, attributes=attributes)
    write_table(folder / "associations.parquet", worth_keeping(found))
    write_table(folder / "patients.parquet", _patients(encoded.mean, table))
    write_table(folder / "classes.parquet", _classes(encoded.mean, table))


def named(concepts: pd.DataFrame, review: pd.DataFrame) -> pd.DataFrame:
    """The table of concepts with what the review says of them, empty where nothing was said."""
    said = review.set_index("concept")
    columns = {column: concepts["concept"].map(said[column]).fillna("").astype(object) for column in said}
    return concepts.assign(**columns)


def _patients(matrix: csr_matrix, images: pd.DataFrame) -> pd.DataFrame:
    patients, vectors = patient_vectors(matrix, images)
    n_images = images["patient"].value_counts().reindex(patients).to_numpy(dtype=np.int64)
    rows, long = _long(vectors)
    return pd.DataFrame({"patient": np.array(patients, dtype=object)[rows], **long, "n_images": n_images[rows]})


def _classes(matrix: csr_matrix, images: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for target in ("label", "patient_label"):
        names, vectors, n = class_vectors(matrix, images, column=target)
        rows, long = _long(vectors)
        parts.append(
            pd.DataFrame({"target": target, "class": np.array(names, dtype=object)[rows], **long, "n": n[rows]})
        )
    return pd.concat(parts, ignore_index=True)


def _long(vectors: csr_matrix) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Row of each stored value, and the columns `concept` and `mean`."""
    rows = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    return rows, {"concept": vectors.indices.astype(np.int64), "mean": vectors.data}
