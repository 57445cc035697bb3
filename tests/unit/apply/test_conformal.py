"""Sets of classes: Vovk's definition, the coverage they promise, and intervals of what was covered."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from histoweave.apply.conformal import coverage, prediction_sets
from histoweave.evaluation.binomial import clopper_pearson

CLASSES = ["a", "b", "c"]


def members_of(p, fold, model="m"):
    table = pd.DataFrame({"model": model, "fold": fold, "patient": [f"p{i}" for i in range(len(p))]})
    return table.join(pd.DataFrame(p, columns=[f"p_{label}" for label in CLASSES]))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000), n=st.integers(3, 30), n_folds=st.integers(1, 4), level=st.sampled_from([0.6, 0.8, 0.9])
)
def test_sets_are_those_of_the_definition(seed, n, n_folds, level):
    """Of every class on its own, by plain loops; scores in tenths, so that there are ties."""
    rng = np.random.default_rng(seed)
    scores = pd.DataFrame({"model": "m", "fold": np.arange(n) % n_folds, "score": rng.integers(0, 11, n) / 10})
    ps = [np.round(rng.dirichlet(np.ones(3), size=5), 1) for _ in range(n_folds)]
    found = prediction_sets(
        pd.concat([members_of(p, fold) for fold, p in enumerate(ps)]), scores, classes=CLASSES, level=level
    )
    for i in range(5):
        kept = []
        for c, label in enumerate(CLASSES):
            larger = sum(
                sum(1 for score in scores.loc[scores["fold"] == fold, "score"] if score >= 1 - ps[fold][i, c])
                for fold in range(n_folds)
            )
            if (1 + larger) / (1 + n) > 1 - level + 1e-9:
                kept.append(label)
        assert found["m", f"p{i}"] == "; ".join(kept)


def test_new_patients_of_the_same_kind_are_covered():
    """Five fold models that differ, 300 patients to calibrate on, 4000 new ones: coverage near the level, not far above."""
    rng = np.random.default_rng(0)

    def predicted(n, fold):
        truth = rng.integers(3, size=n)
        logits = rng.normal(size=(n, 3)) * (1 + 0.1 * fold)
        logits[np.arange(n), truth] += 1.5
        return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    scores = []
    for fold in range(5):
        truth, p = predicted(60, fold)
        scores.append(pd.DataFrame({"model": "m", "fold": fold, "score": 1 - p[np.arange(60), truth]}))
    truth = rng.integers(3, size=4000)
    parts = []
    for fold in range(5):
        logits = rng.normal(size=(4000, 3)) * (1 + 0.1 * fold)
        logits[np.arange(4000), truth] += 1.5
        parts.append(members_of(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), fold))
    for level in (0.8, 0.9, 0.95):
        sets = prediction_sets(pd.concat(parts), pd.concat(scores), classes=CLASSES, level=level)
        covered = np.mean([CLASSES[t] in sets["m", f"p{i}"].split("; ") for i, t in enumerate(truth)])
        assert covered >= level - 0.02, level


def test_a_model_without_scores_has_no_sets():
    members = pd.concat([members_of(np.full((2, 3), 1 / 3), 0, model) for model in ("m", "other")])
    scores = pd.DataFrame({"model": "m", "fold": 0, "score": [0.5] * 20})
    assert {model for model, _ in prediction_sets(members, scores, classes=CLASSES, level=0.9)} == {"m"}


@given(n=st.integers(1, 80), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_are_scipys_exact_ones(n, share, confidence):
    hits = round(share * n)
    expected = binomtest(hits, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(hits, n, confidence=confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_coverage_counts_what_has_a_label_and_a_set():
    table = pd.DataFrame(
        [
            ("m", "p0", "a", "s", "ok", "a"), ("m", "p1", "b", "s", "ok", "a; c"), ("m", "p2", "a", "t", "ok", ""),
            ("m", "p3", None, "t", "ok", "a"), ("m", "p4", "a", "t", "cannot", None), ("n", "p0", "a", "s", "ok", None),
            ("m", "p5", "b", None, "ok", "a; b; c"),
        ],
        columns=["model", "patient", "y_true", "site", "status", "set"],
    ).assign(set_class="a; b; c")  # fmt: skip
    every = coverage(table, level=0.9, confidence=0.95)
    by_class = every[every["kind"] == "class"].set_index(["model", "scope"])
    assert (by_class["coverage"] == 1).all() and by_class.loc[("m", "pooled"), "n"] == 4
    found = every[every["kind"] == "marginal"].set_index("scope")
    assert set(found["model"]) == {"m"} and set(found.index) == {"pooled", "class:a", "class:b", "site:s", "site:t"}
    pooled = found.loc["pooled"]
    assert (pooled["coverage"], pooled["n"], pooled["singletons"], pooled["empty"]) == (0.5, 4, 1, 1)
    assert pooled["mean_set_size"] == 1.5 and found.loc["class:b", "coverage"] == 0.5
    assert coverage(table[table["model"] == "n"].assign(set_class=None), level=0.9, confidence=0.95).empty
