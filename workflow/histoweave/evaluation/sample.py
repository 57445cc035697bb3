"""A model's test predictions as arrays: one part per repeat, scored under any patient weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap
from histoweave.evaluation.metrics import METRICS, Function
from histoweave.fusion import catalog

RANKING = tuple(name for name, metric in METRICS.items() if metric.ranks)


@dataclass(frozen=True)
class Part:
    """The test predictions of one repeat.

    Attributes
    ----------
    patient : (m,) int, position of each prediction's patient among the sorted patients of the sample.
    y : (m,) int, class codes.
    p : (m, C) float64, probabilities.
    ranks_nobody : of a model that reads no modality. Its probabilities differ between folds alone, and a fold with more of
        a class in its test part has fewer in its training part: ranked over all folds they would lie below chance.
    """

    patient: np.ndarray
    y: np.ndarray
    p: np.ndarray
    ranks_nobody: bool = False

    def scored(self, metric: str) -> np.ndarray:
        """The probabilities that a metric of that name looks at: all ties for ranking metrics where nobody is ranked."""
        return np.full_like(self.p, 1 / self.p.shape[1]) if self.ranks_nobody and metric in RANKING else self.p


@dataclass(frozen=True)
class Sample:
    """All test predictions of one model on `n` patients, one part per repeat of the cross-validation.

    clusters : (n,) int, the cluster of each patient that is drawn as a whole; None: every patient by itself.
    """

    n: int
    parts: tuple[Part, ...]
    clusters: np.ndarray | None = None

    @classmethod
    def of(cls, table: pd.DataFrame, classes: list[str]) -> Sample:
        """Read `patient`, `repeat`, `y_true`, `p_<class>`, and `cluster` and `model` if there; rows in order of patient."""
        models = set(table["model"]) if "model" in table else set()
        ranks_nobody = bool(models) and all(m in catalog.names() and not catalog.get(m).modalities for m in models)
        patients = np.unique(table["patient"].to_numpy(dtype=str))
        parts = []
        for _, rows in table.sort_values(["repeat", "patient"]).groupby("repeat"):
            parts.append(
                Part(
                    patient=np.searchsorted(patients, rows["patient"].to_numpy(dtype=str)),
                    y=pd.Index(classes).get_indexer(rows["y_true"]),
                    p=probabilities(rows, classes),
                    ranks_nobody=ranks_nobody,
                )
            )
        return cls(n=len(patients), parts=tuple(parts), clusters=_clusters(table))

    def score(self, metrics: Mapping[str, Function], w: np.ndarray) -> np.ndarray:
        """Mean over repeats of each metric under weights `w` (b, n): (b, K), a class metric as C columns."""
        weighted = [(part, w[:, part.patient]) for part in self.parts]
        return np.column_stack(
            [
                np.mean([metric(part.y, part.scored(name), v) for part, v in weighted], axis=0)
                for name, metric in metrics.items()
            ]
        )

    def bootstrap(self, metrics: Mapping[str, Function], *, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Estimate (K,) and draws (draws, K) of `score`: a draw of a patient counts in every repeat."""
        return bootstrap(lambda w: self.score(metrics, w), self.n, draws=draws, seed=seed, clusters=self.clusters)


def _clusters(table: pd.DataFrame) -> np.ndarray | None:
    """The cluster 0 … G − 1 of each patient, in order of patient; None where every patient is one."""
    if "cluster" not in table:
        return None
    of_patient = table.drop_duplicates("patient").assign(patient=lambda rows: rows["patient"].astype(str))
    codes, names = pd.factorize(of_patient.sort_values("patient")["cluster"], sort=True)
    return None if len(names) == len(of_patient) else codes


def probabilities(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """The columns `p_<class>` in order of `classes`, (n, C) float64."""
    return table[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64)


def check_predictions(table: pd.DataFrame, classes: list[str]) -> None:
    """Refuse predictions that cannot be scored honestly.

    Raises
    ------
    ValueError
        for rows that are not test rows, a patient scored twice in a repeat, an unknown true class, or
        probabilities that are not finite, negative or do not sum to 1.
    """

    def refuse(bad: np.ndarray | pd.Series, problem: str) -> None:
        if np.any(bad):
            row = table.loc[np.asarray(bad)].iloc[0]
            raise ValueError(f"prediction of model '{row['model']}' for patient '{row['patient']}': {problem}")

    refuse(table["role"] != "test", "only test rows can be scored")
    refuse(table.duplicated(["model", "repeat", "patient"]), "occurs twice in one repeat")
    refuse(~table["y_true"].isin(classes), f"the true class is none of {', '.join(classes)}")
    p = probabilities(table, classes)
    refuse(~np.isfinite(p).all(axis=1), "a probability is not finite")
    refuse((p < 0).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3), "probabilities are not a distribution")
