"""Made-up prediction tables for the tests of the evaluation."""

import numpy as np
import pandas as pd

from histoweave.settings.evaluation import Evaluation

SETTINGS = Evaluation(bootstrap=1000)
CLASSES = ["neg", "pos"]
N_FOLDS = 4


def predictions(*, n=48, classes=CLASSES, repeats=1, signal=1.5, seed=0, model_seed=0):
    """A prediction table: `signal` shifts the logit of the true class; tables of one `seed` share the truth."""
    truth = np.random.default_rng(seed).integers(len(classes), size=n)
    rng = np.random.default_rng([seed, model_seed])
    tables = []
    for repeat in range(repeats):
        logits = rng.normal(size=(n, len(classes)))
        logits[np.arange(n), truth] += signal
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        table = pd.DataFrame(
            {
                "patient": [f"P{i:03d}" for i in range(n)],
                "repeat": repeat,
                "fold": (np.arange(n) + repeat) % N_FOLDS,
                "role": "test",
                "y_true": np.array(classes)[truth],
                "has_image": True,
                "has_expression": True,
            }
        )
        tables.append(table.assign(**{f"p_{name}": p[:, c] for c, name in enumerate(classes)}))
    return pd.concat(tables, ignore_index=True)
