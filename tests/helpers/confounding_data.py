"""Made-up cohorts whose labels depend on the site, on a true effect, on both or on nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.evaluation.confounding import TYPES, confounding
from histoweave.evaluation.held_out import own_folds
from histoweave.fusion import catalog
from histoweave.settings.evaluation import Evaluation
from histoweave.storage.files import write_table

CLASSES = ["neg", "pos"]
SETTINGS = Evaluation(bootstrap=1000)
MODELS = ["majority", "image", "expression", "concat"]


def cohort(*, n=60, n_sites=4, by_site=0.0, effect=0.0, sees_site=0.0, seed=0):
    """Predictions of `MODELS`, the patients and their folds.

    by_site : how far a site's share of positives lies from ½, up at every other site and down at the rest.
    effect : shift of the logit of positives. sees_site : shift of the logit at every other site.
    """
    rng = np.random.default_rng([seed, n, n_sites])
    site = rng.integers(n_sites, size=n)
    side = np.where(site % 2 == 0, 1, -1)
    label = (rng.random(n) < 0.5 + by_site * side).astype(int)
    fold = own_folds(label, seed=seed)
    ids = [f"P{i:04d}" for i in range(n)]
    tables = []
    for number, model in enumerate(MODELS):
        logit = effect * (label - 0.5) + sees_site * side / 2 + np.random.default_rng([seed, number]).normal(size=n)
        p = 1 / (1 + np.exp(-logit)) if model != "majority" else np.full(n, 0.5)
        columns = {"patient": ids, "repeat": 0, "fold": fold, "role": "test", "y_true": np.array(CLASSES)[label]}
        tables.append(
            pd.DataFrame({"model": model, **columns, "has_image": True, "has_expression": True}).assign(
                p_neg=1 - p, p_pos=p
            )
        )
    patients = pd.DataFrame(
        {"patient": ids, "label": np.array(CLASSES)[label], "site": [f"hospital {s}" for s in site], "included": True}
    )
    folds = pd.concat(
        pd.DataFrame({"patient": ids, "repeat": 0, "fold": k, "role": np.where(fold == k, "test", "train")})
        for k in range(5)
    )
    return pd.concat(tables, ignore_index=True), patients, folds


def ask(predictions, patients, folds, **changes):
    """`confounding` with what these cohorts have."""
    given = {
        "by_patient": True, "slides": None, "expression": None, "whole_sites": None, "classes": CLASSES,
        "models": MODELS, "modalities": ["image", "expression"], "settings": SETTINGS, "seed": 1,
    }  # fmt: skip
    return confounding(predictions, patients=patients, folds=folds, **given | changes)


def pooled_metrics(predictions, *, low=0.6):
    """Rows of `metrics.parquet`, all models well above chance (`low`: end of their intervals)."""
    models = list(dict.fromkeys(predictions["model"]))
    return pd.DataFrame(
        {"model": models, "metric": "auroc", "scope": "pooled", "estimate": 0.72, "ci_low": low, "ci_high": 0.84}
    )


def answers(models, *, column="site", alone=(0.72, 0.61, 0.83), within=(0.47, 0.33, 0.61), n=58):
    """Rows of a `confounding.parquet`: every model within sites as `within`, the site's own as `alone`."""

    def row(question, values, model=""):
        head = {"column": column, "question": question, "model": model}
        ends = dict(zip(("estimate", "ci_low", "ci_high"), values, strict=True))
        return head | ends | {"n": n, "levels": 4, "reason": ""}

    reading = [model for model in models if catalog.get(model).modalities]
    rows = [row("label_from_column", alone), row("column_from_image", (0.93, 0.88, 0.97))]
    for model in reading:
        rows.append(row("column_from_predictions", (0.81, 0.7, 0.9), model))
        rows.append(row("label_within_column", within, model))
    rows += [row("label_whole_columns", (0.51, 0.4, 0.62), model) for model in reading[-1:]]
    scanner = row("label_from_column", (np.nan,) * 3) | {
        "column": "scanner", "levels": 1, "reason": "fewer than two levels have enough patients",
    }  # fmt: skip
    return pd.DataFrame([*rows, scanner])[list(TYPES)].astype(TYPES)


def write_confounding(path: Path, *, models, **how) -> Path:
    """The file of `answers`."""
    write_table(path, answers(models, **how))
    return path
