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


def control(*, leak=False):
    """The negative control's summary of one model, on pairs of patients of one site and fold."""
    mean = 0.65 if leak else 0.5
    row = {"model": "image", "metric": "auroc_matched", "null_mean": mean, "shuffles": 20, "leak": leak}
    return pd.DataFrame([row | {"mean_low": mean - 0.1, "mean_high": mean + 0.1}])


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
    assert sentence.startswith(f"Adding the image to RNA ({FUSION} compared with {TITLES['expression']}) "[:-1])
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
        assert sentence == f"Using {TITLES[a]} instead of {TITLES[b]} improves AUROC by +0.10 [+0.05, +0.20]."


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
            "changes its probabilities by 0.20 [0.10, 0.30] on average.",
        ),
        (use(0.2, 0.1, 0.3, metric="changed_calls"), "changes its predicted class in 20% [10%, 30%] of the patients."),
    ],
)
def test_modality_use(row, said):
    sentence = finding(row, TITLES)
    assert sentence.startswith(f"With the image of another patient, {FUSION}")
    assert said in sentence


def whole_run(control=None, model="cross_attention"):
    comparisons = [
        comparison(0.2, 0.1, 0.3),
        comparison(0.25, 0.1, 0.4, b="image"),
        comparison(0.15, 0.0, 0.3, b="late_mean"),
    ]
    uses = pd.DataFrame([use(0.2, 0.1, 0.3), use(0.3, 0.2, 0.4, modality="expression"), use(1, 1, 1, model="concat")])
    return summary(comparisons, uses, control, model=model, titles=TITLES)


def test_summary_of_a_whole_run():
    said = whole_run(control())
    assert len(said) == 4
    assert TITLES["late_mean"] in said[0] and said[0].endswith("no evidence that it helps.")
    assert said[1].endswith("it relies on the image.") and said[2].endswith("it relies on RNA.")
    assert said[3].endswith("no sign of a leak.")


def test_a_leak_is_named():
    said = whole_run(control(leak=True))[-1]
    assert "image alone: mean AUROC 0.65" in said and "a leak" in said and "no sign" not in said


def test_summary_without_control_or_intervals():
    assert len(whole_run()) == 3
    assert "too few comparable patients" in whole_run(control().assign(mean_low=math.nan))[-1]


def test_nothing_is_said_of_a_model_whose_skill_is_no_finding():
    assert whole_run(model="") == []
    assert len(whole_run(control(), model="")) == 1
