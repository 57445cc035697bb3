"""Fusion on cohorts with a known truth: the label needs a factor of the image and a factor of RNA."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import Cohort, make_cohort, make_folds
from sklearn.metrics import roc_auc_score

from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_table

SMALL = Fusion(n_genes=150, gene_tokens=8, image_components=16, width=32, members=2)


def pooled_auroc(cohort: Cohort, model: str, folder: Path) -> tuple[float, list[float]]:
    """Pooled out-of-fold AUROC, and per patient with both kinds of tiles how well attention ranks planted ones."""
    tables, ranks = [], []
    for k in range(5):
        out = cohort.run(model, k, folder / model / f"fold{k}", settings=SMALL, permutations=1)
        table = read_table(out / "predictions.parquet")
        tables.append(table[table["role"] == "test"])
        for patient, tiles in read_table(out / "attention.parquet").groupby("patient"):
            planted = cohort.planted[patient]
            if planted.any():
                ranks.append(roc_auc_score(planted, tiles["attention"]))
    table = pd.concat(tables)
    positive = cohort.classes[-1]
    return roc_auc_score(table["y_true"] == positive, table[f"p_{positive}"]), ranks


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cross_attention_finds_a_label_that_needs_both_modalities(tmp_path, seed):
    cohort = make_cohort(tmp_path / "features", seed=seed)
    single = max(pooled_auroc(cohort, model, tmp_path)[0] for model in ("image", "expression"))
    both, ranks = pooled_auroc(cohort, "cross_attention", tmp_path)
    assert both >= 0.9
    assert both - single >= 0.1
    assert np.mean(ranks) >= 0.8


def test_shuffled_labels_cannot_be_learned(tmp_path):
    cohort = make_cohort(tmp_path / "features", seed=1, n=100)
    shuffled = cohort.patients.assign(label=np.random.default_rng(0).permutation(cohort.patients["label"]))
    folds = make_folds(shuffled, n_folds=5, seed=0)
    control = dataclasses.replace(cohort, patients=shuffled, folds=folds)
    auroc, _ = pooled_auroc(control, "cross_attention", tmp_path)
    # The standard error of an AUROC of 0.5 with 40 and 60 patients is 0.06 (Hanley and McNeil, 1982).
    assert abs(auroc - 0.5) < 0.18
