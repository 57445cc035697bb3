"""Made-up cohorts whose truth is known, as the pooled predictions of every model of the catalogue."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from histoweave.evaluation.choice import choose, class_counts
from histoweave.evaluation.conclusion import Conclusion, conclude
from histoweave.evaluation.null import MATCHED
from histoweave.fusion import catalog
from histoweave.settings.evaluation import Evaluation

CLASSES = ["neg", "pos"]
SETTINGS = Evaluation.model_construct(bootstrap=500, confidence=0.95, permutations=1)
MODELS = tuple(catalog.get(name) for name in catalog.names())
CONFOUNDING = [
    "column", "question", "model", "estimate", "ci_low", "ci_high", "n", "levels", "reason",
]  # fmt: skip


def predictions(y: np.ndarray, scores: dict[str, np.ndarray], *, sites: np.ndarray | None = None) -> pd.DataFrame:
    """Pooled test rows; scores are logits of the positive class, `sites` are the clusters."""
    n = len(y)
    tables = []
    for model, score in scores.items():
        p = 1 / (1 + np.exp(-score))
        table = pd.DataFrame({
            "model": model, "patient": [f"P{i:04d}" for i in range(n)], "repeat": 0, "fold": np.arange(n) % 5,
            "role": "test", "y_true": np.array(CLASSES)[y], "has_image": True, "has_expression": True,
            "p_neg": 1 - p, "p_pos": p,
        })  # fmt: skip
        tables.append(table if sites is None else table.assign(cluster=sites.astype(str)))
    return pd.concat(tables, ignore_index=True)


def scores_of(
    rng: np.random.Generator, image: np.ndarray, rna: np.ndarray, both: np.ndarray, *, noise: float = 0.5
) -> dict[str, np.ndarray]:
    """A score per model: what it can know of the label (n,), and noise that is half the modality's, half its own.

    A model's own noise hangs on its name, so that a catalogue of more models leaves it as it is.
    """
    seed = int(rng.integers(2**32))
    known = {frozenset(): 0 * image, **{frozenset({m}): v for m, v in (("image", image), ("expression", rna))}}
    known[frozenset(catalog.MODALITIES)] = both
    common = {modalities: rng.normal(size=len(image)) for modalities in known}
    return {
        model.name: (
            known[model.modalities]
            + noise
            * (common[model.modalities] + _own(seed, model.name).normal(size=len(image)))
            * bool(model.modalities)
        )
        for model in MODELS
    }


def _own(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def factors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=n), rng.normal(size=n)


def told(table: pd.DataFrame) -> pd.DataFrame:
    return choose(
        table, classes=CLASSES, order=catalog.names(), modalities=catalog.MODALITIES, settings=SETTINGS, seed=1
    )


def concluded(table: pd.DataFrame, **more) -> Conclusion:
    counts = class_counts(table, CLASSES)
    return conclude(told(table), models=MODELS, counts=counts, confidence=SETTINGS.confidence, **more)


def confounding(*rows: tuple, column: str = "site") -> pd.DataFrame:
    """Rows (question, model, estimate, ci_low, ci_high) of `confounding.parquet`."""
    filled = [(column, *row, 80, 4, "") for row in rows]
    return pd.DataFrame(filled, columns=CONFOUNDING)


def null_summary(model: str, mean: float, low: float, high: float, *, leak: bool) -> pd.DataFrame:
    """`control/summary.parquet` of one model."""
    return pd.DataFrame([{
        "model": model, "metric": metric, "score": 0.9, "null_mean": mean, "null_low": low - 0.1,
        "null_high": high + 0.1, "mean_low": low, "mean_high": high, "p": 0.05, "shuffles": 20, "leak": leak,
    } for metric in ("auroc", MATCHED)])  # fmt: skip
