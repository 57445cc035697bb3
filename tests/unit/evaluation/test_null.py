"""The negative control: AUROC within strata, p values, and the verdict on a leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from histoweave.evaluation.null import (
    MATCHED,
    PLAIN,
    SUMMARY_TYPES,
    null_table,
    scores,
    stratified_auroc,
    summarise,
    true_scores,
)
from histoweave.evaluation.null_wording import chance_finding, chance_findings, leak_finding

CLASSES = ["neg", "pos"]


def two(score: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - score, score])


def test_one_stratum_is_the_auroc_and_its_mann_whitney_error():
    rng = np.random.default_rng(0)
    y, score = rng.integers(2, size=40), rng.integers(8, size=40) / 8
    value, se = stratified_auroc(y, two(score), np.zeros(40))
    assert value == pytest.approx(roc_auc_score(y, score))
    test = mannwhitneyu(score[y == 1], score[y == 0], method="asymptotic", use_continuity=False)
    assert 2 * norm.sf(abs(value - 0.5) / se) == pytest.approx(test.pvalue)


def test_strata_are_weighted_by_their_pairs_and_classes_averaged():
    y = np.array([0, 1, 0, 1, 1, 1])
    score = np.array([0.1, 0.9, 0.8, 0.2, 0.9, 0.5])
    strata = np.array(["s", "s", "t", "t", "t", "u"])
    assert stratified_auroc(y, two(score), strata)[0] == pytest.approx((1 + 1) / (1 + 2))
    assert np.isnan(stratified_auroc(y[-1:], two(score[-1:]), strata[-1:])).all()
    rng = np.random.default_rng(1)
    y, p = rng.integers(3, size=60), rng.dirichlet(np.ones(3), size=60)
    expected = roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert stratified_auroc(y, p, np.zeros(60))[0] == pytest.approx(expected)


def predictions(score: np.ndarray, y: np.ndarray, *, fold: np.ndarray | None = None) -> pd.DataFrame:
    n = len(y)
    table = pd.DataFrame({"patient": [f"P{i:03d}" for i in range(n)], "repeat": 0, "role": "test"})
    table["fold"] = np.arange(n) % 4 if fold is None else fold
    table["y_true"] = np.array(CLASSES)[y]
    return table.assign(has_image=True, has_expression=True, p_neg=1 - score, p_pos=score)


GROUPS = {f"P{i:03d}": f"s{i // 15}" for i in range(60)}


def control(model_scores, rng, *, shuffles: int = 20, share=(0.5,) * 4) -> pd.DataFrame:
    """Summary of a model whose score of 60 patients of four sites is `model_scores(labels)`, on permuted labels."""
    site = np.arange(60) // 15
    y = (np.arange(60) % 15 < 15 * np.array(share)[site]).astype(int)
    how = {"groups": GROUPS, "classes": CLASSES, "modalities": ["image"]}
    refits = []
    for shuffle in range(shuffles + 1):
        permuted = np.concatenate([rng.permutation(y[site == s]) for s in range(4)])
        refits.append(predictions(model_scores(permuted), permuted).assign(shuffle=shuffle - 1))
    # The first is taken for the true labels.
    metrics = scores(refits[0], groups=GROUPS, classes=CLASSES).iloc[:1].rename(columns={"value": "estimate"})
    true = true_scores(refits[0].assign(model="best_gene"), metrics.assign(model="best_gene", scope="pooled"), **how)
    null = null_table([("best_gene", pd.concat(refits[1:]))], **how)
    return summarise(null, true, order=["best_gene"], confidence=0.95)


def test_p_is_uniform_and_a_leak_is_rarely_claimed_without_one():
    """A score of noise and of the site: the site tells the label, so the plain AUROC lies above 0.5 without a leak."""
    rng = np.random.default_rng(5)
    share, site = (0.2, 0.4, 0.6, 0.8), np.arange(60) // 15
    found = [control(lambda y: (site + rng.random(60)) / 5, rng, shuffles=19, share=share) for _ in range(100)]
    plain = pd.concat(found)[lambda t: t["metric"] == PLAIN]
    matched = pd.concat(found)[lambda t: t["metric"] == MATCHED]
    assert plain["null_mean"].mean() > 0.65 and matched["null_mean"].mean() == pytest.approx(0.5, abs=0.01)
    # Of 20 equally likely values: uniform on 1/20, 2/20, ..., 1.
    assert plain["p"].min() >= 1 / 20 and plain["p"].mean() == pytest.approx(0.525, abs=0.09)
    assert (plain["p"] <= 0.25).mean() == pytest.approx(0.25, abs=0.13)
    assert plain["leak"].sum() <= 6  # 2.5 of 100 are expected


def test_a_model_that_has_seen_the_labels_is_found_out():
    rng = np.random.default_rng(6)
    for _ in range(10):
        summary = control(lambda y: np.clip(0.5 + 0.12 * (2 * y - 1) + 0.3 * rng.normal(size=60), 0, 1), rng)
        assert summary["leak"].all() and (summary["mean_low"] > 0.5).all()
        said = leak_finding(summary, {"best_gene": "single best gene"})
        assert "single best gene: mean AUROC 0." in said and "a leak" in said and "no sign" not in said


def summary_of(values: list[float], *, se: float = 0.05, score: float = 0.8) -> pd.DataFrame:
    null = pd.DataFrame({"model": "image", "shuffle": range(len(values)), "value": values, "se": se})
    null = pd.concat([null.assign(metric=metric) for metric in (PLAIN, MATCHED)])
    true = pd.DataFrame({"model": "image", "metric": [PLAIN, MATCHED], "value": score})
    return summarise(null, true, order=["majority", "image"], confidence=0.95)


def test_columns_and_closed_forms_of_the_summary():
    values = np.linspace(0.4, 0.6, 20)
    table = summary_of(list(values), score=values[-2])
    assert list(table) == list(SUMMARY_TYPES) and list(table["metric"]) == [PLAIN, MATCHED]
    row = table.iloc[0]
    assert row["p"] == pytest.approx(3 / 21) and row["shuffles"] == 20 and not row["leak"]
    assert row["null_low"] == pytest.approx(np.quantile(values, 0.025))
    half = 2.0930240544082634 * values.std(ddof=1) / np.sqrt(20)
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_few_shuffles_have_no_spread_and_claim_a_leak_by_their_pairs_alone():
    one = summary_of([0.58]).iloc[1]
    assert np.isnan([one["null_low"], one["null_high"]]).all() and not one["leak"]
    assert one["mean_low"] == pytest.approx(0.58 - 1.959963985 * 0.05)
    assert summary_of([0.62])["leak"].all()
    assert not summary_of([0.35])["leak"].any()


def test_a_constant_prediction_has_no_interval_and_a_perfect_one_is_a_leak():
    flat = summary_of([0.5] * 20, se=0.0)
    assert flat[["mean_low", "mean_high"]].isna().all().all() and not flat["leak"].any()
    assert summary_of([1.0] * 20)["leak"].all()


def test_nothing_refitted_gives_an_empty_summary():
    null = null_table([], groups={}, classes=CLASSES, modalities=["image"])
    true = pd.DataFrame({"model": ["image"], "metric": [PLAIN], "value": [0.8]})
    empty = summarise(null, true, order=["image"], confidence=0.95)
    assert empty.empty and list(empty) == list(SUMMARY_TYPES)
    assert "too few" in leak_finding(empty, {})


def test_sentences():
    titles = {"image": "image alone"}
    table = summary_of(list(np.linspace(0.4, 0.6, 20)))
    assert leak_finding(table, titles) == (
        "With shuffled labels, no model ranks patients better than chance (highest mean AUROC 0.50 [0.47, 0.53] in 20 shuffles, "
        "image alone): no sign of a leak."
    )
    assert chance_findings(table, titles) == [
        "image alone: AUROC 0.80; with shuffled labels 0.50 on average, mostly between 0.41 and 0.59; none of 20 shuffles "
        "reaches it (p = 0.048)."
    ]
    few = summary_of([0.4]).to_dict("records")[0]
    assert chance_finding(few, titles).endswith("with shuffled labels 0.40 (one shuffle, too few for a p value).")
