"""Small cohorts seen through a dictionary, for tests of what is said of concepts."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, random_array

from histoweave.concepts.activations import ImageActivations


def activations_of(matrix, images=None, **attributes):
    """ImageActivations whose image means are `matrix` (N,L); what else they hold follows from it."""
    mean = csr_matrix(np.asarray(matrix, dtype=np.float32)) if not hasattr(matrix, "tocsr") else matrix.tocsr()
    n = mean.shape[0]
    return ImageActivations(
        images=images or [f"i{row:05d}" for row in range(n)],
        mean=mean,
        peak=mean * np.float32(4),
        count=mean * np.float32(0),
        n_tokens=np.full(n, 5, dtype=np.int64),
        n_active=np.full(n, 3, dtype=np.int64),
        error=np.ones(n),
        deviation=np.full(n, 2.0),
        attributes=attributes,
    )


def sparse_matrix(n, n_latents, *, density=0.3, levels=None, seed=0):
    """(n,n_latents) CSR float32 in [0, 1]; with `levels` only so many different values, so that there are ties."""
    rng = np.random.default_rng(seed)
    matrix = csr_matrix(random_array((n, n_latents), density=density, rng=rng, dtype=np.float32))
    if levels:
        matrix.data = np.ceil(matrix.data * levels).astype(np.float32) / levels
    return matrix


def images_table(n, *, patients=None, label=None, patient_label=None, **attributes):
    """An images table of n cells without status problems."""
    ids = [f"i{row:05d}" for row in range(n)]
    columns = {
        "image": ids,
        "patient": ids if patients is None else list(patients),
        "label": [None] * n if label is None else list(label),
        "patient_label": [None] * n if patient_label is None else list(patient_label),
        "status": ["ok"] * n,
        "reason": [""] * n,
        **{name: list(values) for name, values in attributes.items()},
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
