"""A made-up cohort for the tests of concept scores: tokens that are sums of known directions, planted in classes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from histoweave.concepts import linear
from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.cohort_data import CohortImages, with_dictionary
from histoweave.concepts.encode_images import encode_images
from histoweave.concepts.representations import ImageData, token_means
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, cell_blocks

CPU = torch.device("cpu")
DIM, LATENTS, TOKENS = 24, 40, 12
OF_CLASS = {"lymphocyte": 3, "monocyte": 11, "neutrophil": 17}  # the latent that shows in a class
GRANULES = 29  # the latent that shows in granular cells


@pytest.fixture(scope="module", autouse=True)
def few_penalties():
    """A short grid, for speed; a module imports this fixture to have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "INVERSE_PENALTIES", (1.0, 100.0))
        yield


def directions() -> np.ndarray:
    """(L,D) unit rows, the same in every test."""
    rows = np.random.default_rng(99).normal(size=(LATENTS, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def dictionary(k: int = 4) -> SparseAutoencoder:
    """A TopK dictionary of the true directions."""
    rows = torch.from_numpy(directions())
    zeros = torch.zeros(LATENTS), torch.zeros(DIM)
    return SparseAutoencoder(
        architecture="topk", w_enc=rows.T.contiguous(), b_enc=zeros[0], w_dec=rows, b_dec=zeros[1], k=k,
        training_mean=zeros[1], firing=torch.full((LATENTS,), 0.1),
    )  # fmt: skip


def images_table(n: int = 120, *, patients: int = 30, classes=tuple(OF_CLASS), seed: int = 0, prefix="c"):
    """Images of patients; a patient's label is the class of most of its cells. Every tenth attribute is blank."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    disease = patient % 2
    label = np.array(classes)[rng.integers(len(classes), size=n)]
    granular = np.where(rng.random(n) < 0.5, "yes", "no").astype(object)
    granular[::10] = None
    return pd.DataFrame(
        {
            "image": [f"{prefix}{i:04d}" for i in range(n)],
            "patient": [f"{prefix}P{p:03d}" for p in patient],
            "label": label.astype(object),
            "patient_label": np.array(["AML", "control"], dtype=object)[disease],
            "status": "ok",
            "reason": "",
            "granularity": granular,
        }
    )


def write_shard(path: Path, images: pd.DataFrame, *, seed: int = 1, signal: float = 2.0, stain: float = 0.0) -> Path:
    """The shard file of an images table; `stain` is added to every token along a fixed direction."""
    rng = np.random.default_rng(seed)
    rows = directions()
    tokens = []
    for row in images.itertuples():
        activations = rng.exponential(0.6, size=(TOKENS, LATENTS)) * (rng.random((TOKENS, LATENTS)) < 0.1)
        if row.label is not None:
            activations[:4, OF_CLASS[row.label]] += signal
        if row.granularity == "yes":
            activations[4:8, GRANULES] += signal
        if row.patient_label == "AML":
            activations[8:, 35] += signal
        tokens.append(activations @ rows + stain * rows[0] + 0.02 * rng.normal(size=(TOKENS, DIM)))
    values = np.concatenate(tokens).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["tokens"] = values
        file["offsets"] = np.arange(len(images) + 1) * TOKENS
        file.create_dataset("cell", data=images["image"].tolist(), dtype=h5py.string_dtype())
        file["features"] = values.reshape(len(images), TOKENS, DIM).max(axis=1)
    return path


def cohort_of(path: Path, images: pd.DataFrame) -> CohortImages:
    tokens = Tokens(cell_blocks(str(path)))
    with h5py.File(path) as file:
        return CohortImages(images=images, tokens=tokens, means=token_means(tokens), features=file["features"][:])


def encode(cohort: CohortImages) -> ImageActivations:
    return encode_images(dictionary(), cohort.tokens, token_threshold=0.2, device=CPU)


def data_of(cohort: CohortImages, *, seed: int = 0) -> ImageData:
    return with_dictionary(cohort, encode(cohort), dictionary(), active=4, token_threshold=0.2, seed=seed, device=CPU)


def roles(images: pd.DataFrame, *, test_share: float = 0.25) -> pd.Series:
    """patient → whether it is a training patient; the first patients are tested."""
    patients = sorted(images["patient"].unique())
    n_test = max(1, round(test_share * len(patients)))
    return pd.Series([False] * n_test + [True] * (len(patients) - n_test), index=patients)
