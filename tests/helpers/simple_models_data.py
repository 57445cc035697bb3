"""What the tests of the simple models share: a cohort of three classes, and modules by themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import torch
from fusion_cohort import FAST, Cohort, make_cohort, write_features

from histoweave.fusion.models.base import Shape
from histoweave.storage.files import read_table

P = ["p_a", "p_b", "p_c"]


def forward(module: torch.nn.Module, genes: np.ndarray) -> np.ndarray:
    """Logits of patients given by their genes."""
    n = len(genes)
    nothing, there = torch.zeros(n, 1, 1), torch.ones(n, dtype=torch.bool)
    genes = torch.from_numpy(genes.astype(np.float32))
    return module(nothing, nothing[..., 0] == 1, genes, ~there, there).logits.detach().double().numpy()


def module_of(kind: type, n_genes: int, n_classes: int) -> torch.nn.Module:
    return kind(Shape(1, (0,) * n_genes, n_classes), FAST)


def three_classes(tmp_path_factory) -> Cohort:
    """Three classes; P002 has two slides, gene G3 is constant and G4 never measured."""
    whole = make_cohort(tmp_path_factory.mktemp("f"), seed=4, n=60, n_features=20, n_genes=60, n_folds=3, n_classes=3)
    path = tmp_path_factory.mktemp("second") / "P002-2.h5"
    write_features(path, np.random.default_rng(0).normal(size=(11, 20)) + 3)
    second = whole.slides[whole.slides["patient"] == "P002"].assign(slide="P002-2", features=str(path), n_tiles=11)
    return dataclasses.replace(
        whole,
        slides=pd.concat([whole.slides, second], ignore_index=True),
        expression=whole.expression.assign(G3=2.0, G4=np.nan),
    )


def parts(run) -> dict[str, pd.DataFrame]:
    """Predictions by role, indexed by patient."""
    table = read_table(run / "predictions.parquet").set_index("patient")
    return {role: rows for role, rows in table.groupby("role")}
