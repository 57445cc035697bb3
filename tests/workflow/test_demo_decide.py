"""The demo's decision tables, whole: they agree with the evaluation, and nobody calibrates or trains for themselves."""

import numpy as np
import pandas as pd
import pytest
import yaml
from running import planned, snakemake

from histoweave.decide.conformal import sets
from histoweave.decide.temperature import fit_temperature
from histoweave.evaluation.tempered import rescale
from histoweave.storage.files import read_table
from histoweave.wiring.paths import DECIDE, LEARNING

CLASSES = ["Luminal", "Basal_Her2"]
MODELS = [
    "majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
    "image", "expression", "concat", "late_mean", "cross_attention",
]  # fmt: skip
N_FOLDS, SHARES = 5, [0.25, 0.5, 1.0]
P = [f"p_{label}" for label in CLASSES]


@pytest.fixture(scope="module")
def tables(results):
    return {name: read_table(results / f"decide/{name}.parquet") for name in (*DECIDE, *LEARNING)}


@pytest.fixture(scope="module")
def metrics(results):
    return read_table(results / "metrics.parquet")


def pooled(metrics, metric):
    return metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == metric)].set_index("model")["estimate"]


# ---------------------------------------------------------------- calibration


@pytest.mark.parametrize("model", MODELS)
def test_temperatures_are_those_of_each_folds_validation_patients(results, tables, model):
    said = tables["temperatures"].set_index(["model", "fold"])
    after = tables["calibrated"].set_index(["model", "patient"])
    for fold in range(N_FOLDS):
        own = read_table(results / f"fusion/{model}/fold{fold}/predictions.parquet")
        val, test = own[own["role"] == "val"], own[own["role"] == "test"]
        fitted = fit_temperature(val[P].to_numpy(), pd.Index(CLASSES).get_indexer(val["y_true"]))
        row = said.loc[(model, fold)]
        assert (row["temperature"], row["reason"], row["n_val"]) == (*fitted, len(val))
        expected = rescale(test[P].to_numpy(), fitted.value)
        np.testing.assert_allclose(after.loc[model].loc[test["patient"], P], expected, rtol=1e-12)


def test_before_is_what_the_report_of_the_evaluation_says(tables, metrics):
    found = tables["calibration"]
    for metric in ("ece", "brier"):
        own = found[found["metric"] == metric].set_index("model")["before"]
        pd.testing.assert_series_equal(own, pooled(metrics, metric).loc[own.index], check_names=False)
    assert set(found["metric"]) == {"ece", "brier", "log_loss"} and set(found["model"]) == set(MODELS)
    changed = found.dropna(subset=["ci_low"])
    assert (changed["ci_low"] <= changed["difference"] + 1e-12).all()


# ---------------------------------------------------------------- sets


def test_sets_reach_their_coverage_within_the_interval(tables):
    found = tables["conformal"]
    assert set(found["kind"]) == {"marginal", "class"}
    found = found[found["kind"] == "marginal"]
    own = found[(found["scope"] == "pooled") & found["model"].isin(["image", "expression", "cross_attention"])]
    assert set(own["level"]) == {0.8, 0.9}
    assert (own["ci_high"] >= own["level"]).all() and (own["n"] >= 58).all()
    assert {f"class:{label}" for label in CLASSES} | {f"site:Z{s}" for s in "ABCD"} < set(found["scope"])


def test_a_set_is_made_of_the_other_folds_scores(tables):
    calibrated, scores = tables["calibrated"], tables["conformal_scores"]
    said = tables["sets"][tables["sets"]["kind"] == "marginal"].set_index(["model", "patient", "level"])
    assert len(said) == 2 * len(calibrated) == 2 * len(scores)
    for fold in range(N_FOLDS):
        test = calibrated[(calibrated["model"] == "cross_attention") & (calibrated["fold"] == fold)]
        others = scores[(scores["model"] == "cross_attention") & (scores["fold"] != fold)]
        assert not set(others["patient"]) & set(test["patient"])
        inside = sets(test[P].to_numpy(), others["score"].to_numpy(), 0.9)
        expected = ["; ".join(np.array(CLASSES)[row]) for row in inside]
        assert list(said.loc[[("cross_attention", p, 0.9) for p in test["patient"]], "set"]) == expected


# ---------------------------------------------------------------- abstention, decisions, groups


def test_risk_for_everybody_is_the_error_rate(tables, metrics):
    found = tables["selective"]
    own = found[found["metric"] == "risk_at_1"].set_index("model")["estimate"]
    np.testing.assert_allclose(own, 1 - pooled(metrics, "accuracy").loc[own.index])
    last = tables["risk_coverage"].groupby("model").last()
    np.testing.assert_allclose(last.loc[own.index, "risk"], own)
    assert (last["coverage"] == 1).all()


def test_acting_on_fusion_beats_acting_on_all_or_none(tables):
    curve = tables["decision_curve"]
    assert set(curve["model"]) == {*MODELS, "treat_all", "treat_none"} and set(curve["class"]) == {"Basal_Her2"}
    middle = curve[curve["threshold"].between(0.2, 0.6)]
    assert (middle.loc[middle["model"] == "cross_attention", "advantage_low"] > 0).all()
    assert not (middle.loc[middle["model"] == "majority", "advantage_low"] > 0).any()


def test_sites_are_scored_as_in_the_evaluation_and_age_in_three_groups(tables, metrics):
    found = tables["subgroups"]
    for site in "ABCD":
        own = found[(found["column"] == "site") & (found["group"] == f"Z{site}")].set_index(["model", "metric"])
        expected = metrics[metrics["scope"] == f"site:Z{site}"].set_index(["model", "metric"]).loc[own.index]
        columns = ["estimate", "ci_low", "ci_high", "n"]
        pd.testing.assert_frame_equal(own[columns], expected[columns])
    ages = found[(found["column"] == "age") & (found["model"] == "image")].drop_duplicates("group")
    assert len(ages) == 3 and ages["n"].sum() == 58
    assert set(tables["subgroup_differences"]["column"]) == {"site", "age"}


def test_every_topic_is_told_in_a_sentence(tables):
    says = tables["findings"]
    topics = {"calibration", "conformal", "conformal_class", "selective", "decision_curve", "subgroups"}
    assert set(says["topic"]) == topics
    assert set(says["model"]) == set(MODELS) and not says["says"].str.contains("nan").any()


# ---------------------------------------------------------------- the learning curve


def test_the_whole_is_what_the_evaluation_says_and_less_is_worse(tables, metrics):
    scores = tables["learning"]
    assert set(scores["model"]) == {"logistic_expression", "cross_attention"}
    for metric in ("auroc", "average_precision", "accuracy"):
        rows = scores[scores["metric"] == metric].set_index(["model", "share"])
        assert sorted(rows.loc["cross_attention"].index) == SHARES
        for model in ("logistic_expression", "cross_attention"):
            assert rows.loc[(model, 1.0), "estimate"] == pytest.approx(pooled(metrics, metric)[model], abs=1e-12)
            assert rows.loc[model, "n_train"].is_monotonic_increasing
    auroc = scores[(scores["metric"] == "auroc") & (scores["model"] == "cross_attention")].set_index("share")
    assert auroc.loc[0.25, "estimate"] < auroc.loc[1.0, "estimate"] - 0.05


@pytest.mark.parametrize("model", ["logistic_expression", "cross_attention"])
def test_smaller_studies_are_scored_on_the_same_patients(results, model):
    folds = read_table(results / "folds.parquet")
    for k in range(N_FOLDS):
        part = read_table(results / f"decide/learning/{model}/fold{k}.parquet")
        full = read_table(results / f"fusion/{model}/fold{k}/predictions.parquet")
        tested = set(full.loc[full["role"] == "test", "patient"])
        assert tested <= set(folds.loc[(folds["fold"] == k) & (folds["role"] == "test"), "patient"])
        for share in SHARES[:-1]:
            rows = part[part["share"] == share]
            assert set(rows["patient"]) == tested and (rows["role"] == "test").all()
            assert rows["n_fit"].iloc[0] == pytest.approx(share * (full["role"] != "test").sum(), abs=2)


def test_what_more_patients_would_bring_is_told_with_its_doubt(tables):
    fits = tables["learning_fit"]
    assert len(fits) == 6 and (fits["n_more"] == 50).all() and fits["n_now"].between(45, 49).all()
    assert (fits["gain_low"] <= fits["gain_high"]).all() and (fits["gain_low"] >= 0).all()
    assert (fits["now"] + fits["expected_gain"] <= 1 + 1e-12).all()
    assert fits["says"].str.startswith("50 more training patients for ").all()


# ---------------------------------------------------------------- what reruns


def dry(demo, change):
    """Rule → jobs that a dry run of the decision tables plans after a change of their configuration."""
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    change(raw["decide"])
    (demo / "decide.yaml").write_text(yaml.safe_dump(raw))
    targets = [f"results/demo/decide/{name}.parquet" for name in ("findings", "learning")]
    return planned(snakemake("-n", *targets, "--configfile", "decide.yaml", directory=demo))


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        (lambda decide: None, {}),
        (lambda decide: decide.update(levels=[0.95]), {"decide": 1}),
        (lambda decide: decide.update(subgroups=[]), {"decide": 1}),
        (lambda decide: decide["learning_curve"].update(more_patients=100), {"learning_curve": 1}),
        (lambda decide: decide["learning_curve"].update(models=["cross_attention"]), {"learning_curve": 1}),
        (
            lambda decide: decide["learning_curve"].update(models=["image"]),
            {"learning_fold": N_FOLDS, "learning_curve": 1},
        ),
        (
            lambda decide: decide["learning_curve"].update(shares=[0.5, 0.75]),
            {"learning_fold": 2 * N_FOLDS, "learning_curve": 1},
        ),
    ],
    ids=["nothing", "levels", "subgroups", "more_patients", "fewer models", "another model", "shares"],
)
def test_no_key_of_the_decisions_fits_a_model_of_the_evaluation_again(demo, change, jobs):
    assert dry(demo, change) == jobs
