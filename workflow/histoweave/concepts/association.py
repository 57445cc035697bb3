"""Every concept against every class of every label and attribute: does it rank their images first?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control

from histoweave.concepts.images import patient_labels
from histoweave.concepts.ranking import aurocs
from histoweave.concepts.vectors import patient_vectors
from histoweave.errors import InputError

MAX_VALUES = 100  # a column with more is an id or a measurement, not a class
COLUMNS = [
    "concept", "target", "value", "auroc", "auroc_se", "p", "q", "n_positive", "n_images", "n_patients",
]  # fmt: skip


def associations(activations: csr_matrix, images: pd.DataFrame, *, attributes: Sequence[str] = ()) -> pd.DataFrame:
    """AUROC of every concept for every value against the rest, with the false discovery rate of the whole family.

    `label` and the attributes are compared over images, in a way that knows which images share a patient
    (`ranking.aurocs`); `patient_label` over patients, by the mean over each one's images. Rows without a value are left
    out of its comparison. A comparison with one value only, and a concept that never fires in it, has no row.

    Parameters
    ----------
    activations: (N,L) ≥ 0, one row per image. images: N rows in the same order, with `patient`, `label`,
        `patient_label`, and the attributes as text, None where blank.

    Returns
    -------
    `concept`, `target` (`label`, `patient_label` or the attribute), `value`, `auroc`, `auroc_se` (NaN where one patient
    has all positives or all negatives), `p` and `q` (Benjamini and Hochberg 1995 over all rows; NaN with one patient),
    `n_positive` (images; for `patient_label` patients), `n_images` and `n_patients` of the comparison; sorted by
    target in the order given, value, concept.

    Raises
    ------
    InputError
        if a column has more than 100 values, or a patient several labels.
    """
    parts = [
        _of_target(activations, images["patient"], images[target], target=target) for target in ("label", *attributes)
    ]
    patients, vectors = patient_vectors(activations, images)
    labels = patient_labels(images)[patients].reset_index(drop=True)
    per_patient = images["patient"].value_counts().reindex(patients).to_numpy()
    parts.insert(1, _of_target(vectors, pd.Series(patients), labels, target="patient_label", n_images=per_patient))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    tested = table["p"].notna()
    table["q"] = np.nan
    if tested.any():
        table.loc[tested, "q"] = false_discovery_control(table.loc[tested, "p"])
    return table[COLUMNS]


def _of_target(
    matrix: csr_matrix, patients: pd.Series, values: pd.Series, *, target: str, n_images: np.ndarray | None = None
) -> pd.DataFrame:
    """The rows of one label or attribute, without `q`. `n_images` of each row of the matrix, one if None."""
    codes, names = pd.factorize(values, sort=True)
    rows = np.flatnonzero(codes >= 0)
    if len(names) > MAX_VALUES:
        raise InputError(
            f"column '{target}' has {len(names)} different values, more than {MAX_VALUES}; "
            "group them into classes, or leave it out of the attributes"
        )
    if len(names) < 2:
        return pd.DataFrame(columns=COLUMNS)
    found = matrix[rows]
    fires = np.flatnonzero(np.bincount(found.indices[found.data > 0], minlength=found.shape[1]))
    if not len(fires):
        return pd.DataFrame(columns=COLUMNS)
    patient = pd.factorize(patients.iloc[rows])[0]
    result = aurocs(found[:, fires], codes[rows], patient)
    n_positive = np.bincount(codes[rows], minlength=len(names))
    return pd.DataFrame(
        {
            "concept": np.tile(fires, len(names)),
            "target": target,
            "value": np.repeat(np.asarray(names, dtype=object), len(fires)),
            "auroc": result.auroc.T.ravel(),
            "auroc_se": result.se.T.ravel(),
            "p": result.p.T.ravel(),
            "n_positive": np.repeat(n_positive, len(fires)),
            "n_images": len(rows) if n_images is None else int(n_images[rows].sum()),
            "n_patients": patient.max() + 1,
        }
    )


def worth_keeping(table: pd.DataFrame, *, q_below: float = 0.05) -> pd.DataFrame:
    """The rows with q < `q_below`, and of each concept and target the one furthest from AUROC ½, found or not."""
    distance = (table["auroc"] - 0.5).abs()
    best = distance.groupby([table["concept"], table["target"]]).idxmax()
    keep = table["q"] < q_below
    keep.loc[best] = True
    return table[keep].reset_index(drop=True)
