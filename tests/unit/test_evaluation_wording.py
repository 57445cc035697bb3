"""Findings in words say no more than their intervals do."""

import math

import pandas as pd
import pytest

from histoweave.evaluation.wording import finding, summary
from histoweave.fusion import catalog

TITLES = {name: catalog.get(name).title for name in catalog.names()}
FUSION = TITLES["cross_attention"]


def comparison(difference, low, high, *, a="cross_attention", b="expression", metric="auroc"):
    values = {"difference": difference, "ci_low": low, "ci_high": high, "n": 50}
    return {"model_a": a, "model_b": b, "metric": metric, **values}


def use(drop, low, high, *, modality="image", metric="auroc", model="cross_attention"):
    values = {"intact": 0.9, "permuted": 0.9 - drop, "drop": drop, "ci_low": low, "ci_high": high, "n": 50}
    return {"model": model, "modality": modality, "metric": metric, **values}


def scores(**by_model):
    rows = [
        {
            "model": m,
            "metric": "auroc",
            "scope": "pooled",
            "estimate": e,
            "ci_low": lo,
            "ci_high": hi,
            "n": 50,
        }
        for m, (e, lo, hi) in by_model.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (comparison(0.02, -0.01, 0.05), "changes AUROC by +0.02 [-0.01, +0.05]: no evidence that it helps."),
        (comparison(0.02, 0.0, 0.05), "no evidence that it helps."),
        (comparison(0.1, 0.05, 0.15), "improves AUROC by +0.10 [+0.05, +0.15]."),
        (comparison(-0.1, -0.15, -0.05), "makes AUROC worse, by -0.10 [-0.15, -0.05]."),
        (comparison(-0.001, -0.15, 0.05), "changes AUROC by +0.00 ["),
        (comparison(0.1, math.nan, math.nan), "too few patients to tell whether AUROC changes."),
        (comparison(0.1, 0.05, 0.15, metric="f1_macro"), "improves macro F1 by"),
    ],
)
def test_comparison(row, said):
    sentence = finding(row, TITLES)
    assert sentence.startswith(f"Adding the image to RNA ({FUSION} against {TITLES['expression']}) "[:-1])
    assert said in sentence
    assert finding(pd.Series(row), titles=TITLES) == sentence


def test_only_the_single_modality_networks_speak_of_adding():
    assert finding(comparison(0.1, 0, 0.2, b="image"), TITLES).startswith("Adding RNA to the image (")
    for a, b in [
        ("cross_attention", "late_mean"),
        ("cross_attention", "logistic_expression"),
        ("expression", "image"),
    ]:
        sentence = finding(comparison(0.1, 0.05, 0.2, a=a, b=b), TITLES)
        assert sentence == f"Choosing {TITLES[a]} over {TITLES[b]} improves AUROC by +0.10 [+0.05, +0.20]."


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (use(0.2, 0.1, 0.3), "changes its AUROC by -0.20 [-0.30, -0.10]: it relies on the image."),
        (use(0.2, -0.1, 0.3), "[-0.30, +0.10]: no evidence that it relies on the image."),
        (use(-0.2, -0.3, -0.1), "by +0.20 [+0.10, +0.30]: the image misleads it."),
        (use(0.0, 0.0, 0.0), "keeps exactly the same AUROC: it does not rely on the image."),
        (use(0.2, math.nan, math.nan), "too few patients to tell whether it relies on the image."),
        (
            use(0.2, 0.1, 0.3, metric="mean_abs_change"),
            "moves its probabilities by 0.20 [0.10, 0.30] on average.",
        ),
        (use(0.2, 0.1, 0.3, metric="changed_calls"), "changes its call in 20% [10%, 30%] of the patients."),
    ],
)
def test_modality_use(row, said):
    sentence = finding(row, TITLES)
    assert sentence.startswith(f"Given the image of another patient, {FUSION}")
    assert said in sentence


def whole_run(control=None):
    metrics = scores(
        majority=(0.5, 0.5, 0.5),
        image=(0.7, 0.6, 0.8),
        expression=(0.75, 0.65, 0.85),
        late_mean=(0.8, 0.7, 0.9),
        cross_attention=(0.95, 0.9, 1.0),
    )
    comparisons = pd.DataFrame(
        [
            comparison(0.2, 0.1, 0.3),
            comparison(0.25, 0.1, 0.4, b="image"),
            comparison(0.15, 0.0, 0.3, b="late_mean"),
        ]
    )
    uses = pd.DataFrame([use(0.2, 0.1, 0.3), use(0.3, 0.2, 0.4, modality="expression"), use(1, 1, 1, model="concat")])
    return metrics, comparisons, uses, control


def test_summary_of_a_whole_run():
    control = {"model": ["image"], "metric": ["auroc_matched"], "null_mean": [0.5], "shuffles": [20], "leak": [False]}
    control = pd.DataFrame(control | {"mean_low": [0.4], "mean_high": [0.6]})
    said = summary(*whole_run(control), titles=TITLES)
    assert len(said) == 6
    assert said[0] == (
        "Of the models that read one modality, RNA alone does best: AUROC 0.75 [0.65, 0.85] in 50 patients."
    )
    assert said[1].startswith("Adding the image to RNA") and "improves AUROC by +0.20" in said[1]
    assert TITLES["late_mean"] in said[2] and said[2].endswith("no evidence that it helps.")
    assert said[3].endswith("it relies on the image.") and said[4].endswith("it relies on RNA.")
    assert said[5].endswith("no sign of a leak.")


def test_summary_without_control():
    assert len(summary(*whole_run(), titles=TITLES)) == 5


def test_summary_without_fusion():
    metrics, comparisons, uses, _ = whole_run()
    alone = metrics[metrics["model"].isin(["majority", "expression"])]
    said = summary(alone, comparisons.head(0), uses.head(0), None, titles=TITLES)
    assert len(said) == 2 and "nothing about fusion" in said[1]


def test_summary_turns_a_comparison_of_another_order_round():
    metrics, comparisons, uses, _ = whole_run()
    turned = pd.DataFrame(
        [
            comparison(-0.2, -0.3, -0.1, a="expression", b="cross_attention"),
            *comparisons.to_dict("records")[1:],
        ]
    )
    assert summary(metrics, turned, uses, None, titles=TITLES) == summary(
        metrics, comparisons, uses, None, titles=TITLES
    )
