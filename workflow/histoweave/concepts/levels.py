"""What is classified: images by their label, patients by theirs; and which classes have enough patients for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_matrix

from histoweave.concepts.columns import Matrix
from histoweave.concepts.concept_folds import patient_groups
from histoweave.concepts.images import patient_labels
from histoweave.settings.folds import Folds

CLASS_TYPES = {"level": "str", "class": "str", "n_rows": "int64", "n_patients": "int64", "scored": "bool"} | {
    "reason": "str"
}
# One to be tested, one to be fitted on, one to choose the penalty on; and a mean over classes is not to hang on one cell.
LEAST_PATIENTS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """One level of classification.

    Attributes
    ----------
    name: `image` or `patient`.
    rows: n images or patients, sorted by id: `image` (None for patients), `patient`, `label` (None where blank), `group`
        (of `patient_groups`).
    classes: those that are scored, sorted. scored: (n,) bool, rows of these classes.
    table: every class, columns of `CLASS_TYPES`. reason: why nothing is classified; empty if something is.
    average: (n,N) of means, from vectors of the cohort's N images to those of the rows.
    """

    name: str
    rows: pd.DataFrame
    classes: list[str]
    scored: np.ndarray
    table: pd.DataFrame
    reason: str
    average: csr_matrix

    def vectors(self, matrix: Matrix) -> Matrix:
        """Vectors (n,F) of the rows, given those of the images (N,F); a patient's is the mean over its images."""
        return self.average @ matrix


def make_levels(images: pd.DataFrame, *, settings: Folds, external: bool = False) -> list[Level]:
    """Both levels of a cohort.

    A class is scored if it has at least three patients and, in a cohort that is cross-validated, at least one per fold;
    with fewer than two such classes nothing is. Neither ends the run: `Level.table` and `Level.reason` say so.

    Parameters
    ----------
    images : usable rows of the images table, in the order of the vectors.
    external : the cohort is not cross-validated.
    """
    least = LEAST_PATIENTS if external else max(settings.n_folds, LEAST_PATIENTS)
    group = patient_groups(images, settings=settings)
    image_rows = images[["image", "patient", "label"]]
    label_of = patient_labels(images)
    patient_rows = pd.DataFrame({"image": None, "patient": label_of.index, "label": label_of.to_numpy(dtype=object)})
    place = pd.Index(label_of.index).get_indexer(images["patient"])
    return [
        _level("image", image_rows, np.arange(len(images)), group, least),
        _level("patient", patient_rows, place, group, least),
    ]


def _level(name: str, rows: pd.DataFrame, row_of_image: np.ndarray, group: pd.Series, least: int) -> Level:
    """row_of_image: (N,) the row that each image is averaged into."""
    rows = rows.assign(group=group[rows["patient"]].to_numpy(), label=rows["label"].astype(object))
    by_class = rows.groupby("label")
    table = pd.DataFrame({"n_rows": by_class.size(), "n_patients": by_class["group"].nunique()})
    table = table.rename_axis("class").reset_index()
    table["scored"] = table["n_patients"] >= least
    if table["scored"].sum() < 2:
        found = ", ".join(f"{row['class']}: {row['n_patients']}" for row in table.to_dict("records")) or "no labels"
        reason = f"fewer than two classes with at least {least} patients ({found})"
        table["scored"] = False
    else:
        reason = ""
    few = f"fewer than {least} patients"
    table["reason"] = np.where(table["scored"], "", np.where(table["n_patients"] < least, few, reason))
    classes = sorted(table.loc[table["scored"], "class"])
    ones = (np.ones(len(row_of_image)), (row_of_image, np.arange(len(row_of_image))))
    total = csr_matrix(coo_array(ones, shape=(len(rows), len(row_of_image))))
    average = csr_matrix(total.multiply(1 / total.sum(axis=1).reshape(-1, 1)))
    return Level(
        name=name,
        rows=rows.reset_index(drop=True),
        classes=classes,
        scored=rows["label"].isin(classes).to_numpy(),
        table=table.assign(level=name).astype(CLASS_TYPES)[list(CLASS_TYPES)],
        reason=reason,
        average=average,
    )
