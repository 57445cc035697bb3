"""Whether site, scanner or another column could stand behind a result: the table `confounding.parquet`.

docs/confounding.md tells what is asked and how each answer is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.evaluation import held_out
from histoweave.evaluation.evaluate import pooled_scope
from histoweave.evaluation.groups import SITE, Levels, known_columns, levels
from histoweave.evaluation.sample import check_predictions, probabilities
from histoweave.evaluation.strata import Answer, Part, answer, rank_auroc
from histoweave.fusion import catalog
from histoweave.fusion.bags import BagStore
from histoweave.settings.evaluation import Evaluation

TYPES = dict.fromkeys(("column", "question", "model"), "str") | {
    **dict.fromkeys(("estimate", "ci_low", "ci_high"), "float64"),
    **dict.fromkeys(("n", "levels"), "int64"),
    "reason": "str",
}
LEAST_PERMUTATIONS = 399
# So many permutations are expected to reach an estimate at the edge of an interval.
_BEYOND_EDGE = 10
ONE_LEVEL = "fewer than two levels have enough patients"
NO_LABEL_PAIRS = "no fold has patients of two classes to compare"
NO_COLUMN_PAIRS = "no two patients of one class and fold have different levels"
NO_PAIRS_WITHIN = "no two patients of one level have different classes"
FOLDS_KEEP_SITES = (
    "the folds keep whole sites together, so the fold of a patient reveals the site: predictions cannot be tested"
)
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Asked:
    """Patients of one column's levels, in order of their ids, and what every question of it shares.

    Attributes
    ----------
    column : its name. of : its levels. label, level, fold : (n,) int of each patient.
    """

    column: str
    of: Levels
    label: np.ndarray
    level: np.ndarray
    fold: np.ndarray
    settings: Evaluation
    seed: int

    @property
    def patients(self) -> pd.Index:
        """Ids of the patients, sorted."""
        return self.of.code.index

    def row(self, question: str, found: Answer, *, model: str = "", n: int | None = None) -> dict:
        """A row of the table; patients who are left out are told of beside any other reason."""
        reason = "; ".join(filter(None, (found.reason, self.of.left_out)))
        values = {"estimate": found.estimate, "ci_low": found.ci_low, "ci_high": found.ci_high}
        head = {"column": self.column, "question": question, "model": model}
        n = len(self.patients) if n is None else n
        return head | values | {"n": n, "levels": self.of.n, "reason": reason}


def confounding(
    predictions: pd.DataFrame,
    *,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    by_patient: bool,
    slides: pd.DataFrame | None,
    expression: pd.DataFrame | None,
    whole_sites: pd.DataFrame | None,
    classes: list[str],
    models: list[str],
    modalities: Collection[str],
    settings: Evaluation,
    seed: int,
    means: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Ask each column what it tells of the label, and predictions and measurements what they tell of the column.

    Parameters
    ----------
    predictions : pooled test rows of all models (`predictions.parquet`).
    patients, folds, slides, expression : the tables of the cohort; `slides` and `expression` None without such.
    by_patient : False if the folds keep whole sites.
    means : mean tile of each patient; without them the features of all slides are read.
    whole_sites : `sites/metrics.parquet`, None where no model was fitted on folds of whole sites.
    models : in the order of the table; those that read nothing are not asked.
    modalities : those that any model reads. Patients are those of the pooled scope, who have them all.

    Returns
    -------
    One row per question, columns as `TYPES`; none for a column of which nothing is known, and one row with the reason
    for a column whose patients nearly all have one level.

    Raises
    ------
    InputError
        if no patient has all modalities.
    """
    check_predictions(predictions, classes)
    pooled = predictions[pooled_scope(predictions, modalities)]
    truth = pooled.drop_duplicates("patient").set_index("patient")["y_true"].sort_index()
    named = list(dict.fromkeys(settings.confounders))
    columns = known_columns(patients[patients["included"]], slides, named=named)
    asking = [model for model in models if catalog.get(model).modalities]
    measured = _measurements(truth.index, slides, means, expression=expression) if columns else {}
    rows: list[dict] = []
    for column, values in columns.items():
        of = levels(values, truth.index)
        label = pd.Index(classes).get_indexer(truth.loc[of.code.index])
        fold = held_out.patient_folds(folds, of.code.index, labels=label, by_patient=by_patient, seed=seed)
        asked = Asked(column, of, label, of.code.to_numpy(), fold, settings, seed)
        if of.n < 2:
            rows.append(asked.row("label_from_column", Answer(reason=ONE_LEVEL)))
            continue
        rows.append(asked.row("label_from_column", label_from_column(asked, n_classes=len(classes))))
        for modality, table in measured.items():
            mine = _restricted(asked, table.index)
            found = column_from(mine, table.loc[mine.patients].to_numpy(np.float64))
            rows.append(mine.row(f"column_from_{modality}", found))
        for model in asking:
            own = pooled[(pooled["model"] == model) & pooled["patient"].isin(asked.patients)]
            told = Answer(reason=FOLDS_KEEP_SITES)
            if by_patient:
                told = column_from(asked, _logits(own, classes))
            rows.append(asked.row("column_from_predictions", told, model=model))
            rows.append(asked.row("label_within_column", label_within(asked, own, classes), model=model))
        if column == SITE and whole_sites is not None:
            rows += _whole_sites(asked, whole_sites, asking)
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def label_from_column(asked: Asked, *, n_classes: int) -> Answer:
    """AUROC of the label by the share of each class among training patients of the same level.

    Pairs are of one test fold: across folds shares lean against the truth (the fold with more of a class leaves fewer
    of it for training), which would give less than 0.5 where there is nothing to find. The null permutes labels
    within folds.
    """
    n_levels = asked.of.n

    def scores(y: np.ndarray) -> np.ndarray:
        return held_out.label_scores(y, level=asked.level, fold=asked.fold, n_classes=n_classes, n_levels=n_levels)

    return _answer(
        asked, asked.label, scores, within=asked.fold, stratum=asked.fold, width=n_classes, no=NO_LABEL_PAIRS
    )


def column_from(asked: Asked, features: np.ndarray) -> Answer:
    """AUROC of the column by measurements (n, D) of the patients, over pairs of one true class and fold: what they
    tell of the column beyond the label. The null permutes levels within classes."""
    stratum = asked.label * (asked.fold.max() + 1) + asked.fold
    prepared = held_out.prepare(features, label=asked.label, fold=asked.fold)
    n_levels = asked.of.n

    def scores(y: np.ndarray) -> np.ndarray:
        return held_out.column_scores(y, prepared=prepared, n_levels=n_levels)

    return _answer(asked, asked.level, scores, within=asked.label, stratum=stratum, width=n_levels, no=NO_COLUMN_PAIRS)


def _answer(
    asked: Asked,
    y: np.ndarray,
    scores: Callable[[np.ndarray], np.ndarray],
    *,
    within: np.ndarray,
    stratum: np.ndarray,
    width: int,
    no: str,
) -> Answer:
    """Of held-out scores: `scores` maps (B, n) assignments of `y` to (B, n, columns)."""
    tail = (1 - asked.settings.confidence) / 2
    permutations = max(LEAST_PERMUTATIONS, math.ceil(_BEYOND_EDGE / tail) - 1)
    chunks = held_out.permuted(y, within=within, permutations=permutations, width=width, seed=asked.seed)
    null = held_out.null_values(lambda drawn: rank_auroc(drawn, scores(drawn), stratum), chunks)
    part = Part(np.arange(len(y)), y, scores(y[None])[0], stratum)
    return answer([part], len(y), settings=asked.settings, seed=asked.seed, null=null, nothing=no)


def label_within(asked: Asked, predictions: pd.DataFrame, classes: list[str]) -> Answer:
    """AUROC of a model's predictions over pairs of patients of the same level, the mean over repeats."""
    parts = []
    for _, rows in predictions.sort_values(["repeat", "patient"]).groupby("repeat"):
        place = asked.patients.get_indexer(rows["patient"])
        parts.append(Part(place, asked.label[place], probabilities(rows, classes), asked.level[place]))
    n = len(asked.patients)
    return answer(parts, n, settings=asked.settings, seed=asked.seed, nothing=NO_PAIRS_WITHIN)


def _logits(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Log odds of each class but the first against the first, (n, C − 1), of the mean probabilities over repeats."""
    mean = predictions.groupby("patient")[[f"p_{name}" for name in classes]].mean().sort_index()
    logs = np.log(np.maximum(mean.to_numpy(np.float64), _LEAST_PROBABILITY))
    return logs[:, 1:] - logs[:, :1]


def _restricted(asked: Asked, patients: pd.Index) -> Asked:
    """Only those who are among `patients` too."""
    keep = asked.patients.isin(patients)
    if keep.all():
        return asked
    of = Levels(asked.of.code[keep], asked.of.n, asked.of.left_out)
    return Asked(asked.column, of, asked.label[keep], asked.level[keep], asked.fold[keep], asked.settings, asked.seed)


def _measurements(
    patients: pd.Index,
    slides: pd.DataFrame | None,
    known: Mapping[str, np.ndarray] | None,
    *,
    expression: pd.DataFrame | None,
) -> dict[str, pd.DataFrame]:
    """Modality: patients × features. Mean tile features over all tiles of a patient; log2 expression."""
    found: dict[str, pd.DataFrame] = {}
    if slides is not None:
        means = dict(_mean_features(slides, patients)) if known is None else known
        means = {patient: mean for patient, mean in means.items() if patient in patients}
        if means:
            found[catalog.IMAGE] = pd.DataFrame.from_dict(means, orient="index")
    if expression is not None:
        table = expression.set_index("patient")
        table = table.loc[sorted(set(table.index) & set(patients))]
        if len(table):
            found[catalog.EXPRESSION] = table
    return found


def _mean_features(slides: pd.DataFrame, patients: pd.Index) -> Iterator[tuple[str, np.ndarray]]:
    """Each patient's mean tile feature (D,) float64."""
    bags = BagStore(slides)
    for patient in patients:
        if patient in bags:
            yield patient, bags.mean(patient)


def _whole_sites(asked: Asked, metrics: pd.DataFrame, models: list[str]) -> Iterator[dict]:
    """The AUROC of models whose folds kept whole sites."""
    rows = metrics[(metrics["metric"] == "auroc") & (metrics["scope"] == "pooled")].set_index("model")
    for model in models:
        if model in rows.index:
            row = rows.loc[model]
            found = Answer(float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"]))
            yield asked.row("label_whole_columns", found, model=model, n=int(row["n"]))
