"""The tables of the evaluation on small cohorts with known properties."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, N_FOLDS, SETTINGS, predictions
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

from histoweave.errors import InputError
from histoweave.evaluation.evaluate import COMPARED, evaluate, pool
from histoweave.evaluation.metrics import CLASS_METRICS, METRICS
from histoweave.evaluation.sample import Sample

BOTH = ["expression", "image"]


def run(tables, *, classes=CLASSES, site=None, order=None, modalities=BOTH, seed=1):
    pooled = pool(tables.items())
    patients = pd.DataFrame({"patient": sorted(set(pooled["patient"]))})
    if site is not None:
        patients["site"] = site
    return evaluate(
        pooled,
        patients=patients,
        classes=classes,
        order=order or list(tables),
        modalities=modalities,
        settings=SETTINGS,
        seed=seed,
    )


def value(metrics, model, metric, scope="pooled"):
    rows = metrics[(metrics["model"] == model) & (metrics["metric"] == metric) & (metrics["scope"] == scope)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_pool_keeps_test_rows_of_every_fold():
    table = predictions()
    table.loc[table["fold"] == 0, "role"] = "train"
    pooled = pool([("a", table), ("b", table.head(0)), ("a", table.assign(repeat=1))])
    assert pooled.columns[0] == "model"
    assert set(pooled["model"]) == {"a"} and len(pooled) == 2 * 36
    assert set(pooled["role"]) == {"test"}
    with pytest.raises(ValueError, match="no tables"):
        pool([])


def test_pooled_values_are_those_of_scikit_learn():
    table = predictions()
    metrics = run({"a": table})["metrics"]
    positive = table["y_true"] == "pos"
    called = np.where(table["p_pos"] > table["p_neg"], "pos", "neg")
    assert value(metrics, "a", "auroc").estimate == pytest.approx(roc_auc_score(positive, table["p_pos"]))
    expected = average_precision_score(positive, table["p_pos"])
    assert value(metrics, "a", "average_precision").estimate == pytest.approx(expected)
    expected = f1_score(table["y_true"], called, average="macro")
    assert value(metrics, "a", "f1_macro").estimate == pytest.approx(expected)
    for label in CLASSES:
        expected = f1_score(table["y_true"], called, pos_label=label)
        assert value(metrics, "a", "f1", f"class:{label}").estimate == pytest.approx(expected)
    rows = metrics[~metrics["scope"].str.startswith("fold")]
    assert (rows["ci_low"] <= rows["estimate"]).all() and (rows["estimate"] <= rows["ci_high"]).all()
    assert (rows["n"] == 48).all()


def test_scopes_metrics_and_order_are_complete():
    tables = {name: predictions(model_seed=i) for i, name in enumerate(["late", "early"])}
    out = run(tables, site=np.repeat(["s2", "s1"], 24), order=["early", "never_run", "late"])
    metrics = out["metrics"]
    scopes = ["pooled", "class:neg", "class:pos", "fold0", "fold1", "fold2", "fold3", "site:s1", "site:s2"]
    assert sorted(set(metrics["scope"])) == sorted(scopes)
    assert not metrics.duplicated(["model", "metric", "scope"]).any()
    for scope, rows in metrics.groupby("scope"):
        assert set(rows["metric"]) == set(CLASS_METRICS if scope.startswith("class:") else METRICS)
        assert list(rows["model"].unique()) == ["early", "late"]
    assert list(metrics.columns) == ["model", "metric", "scope", "estimate", "ci_low", "ci_high", "n"]
    compared = out["comparisons"]
    assert list(compared.columns) == ["model_a", "model_b", "metric", "difference", "ci_low", "ci_high", "n"]
    assert set(zip(compared["model_a"], compared["model_b"], strict=True)) == {("late", "early")}
    assert list(compared["metric"]) == list(COMPARED)


def test_comparison_is_later_minus_earlier():
    tables = {
        "weak": predictions(signal=0.3),
        "strong": predictions(signal=4),
        "other": predictions(signal=1),
    }
    out = run(tables)
    pairs = out["comparisons"].drop_duplicates(["model_a", "model_b"])
    assert list(zip(pairs["model_a"], pairs["model_b"], strict=True)) == [
        ("strong", "weak"), ("other", "weak"), ("other", "strong"),
    ]  # fmt: skip
    row = out["comparisons"].iloc[0]
    expected = value(out["metrics"], "strong", "auroc").estimate - value(out["metrics"], "weak", "auroc").estimate
    assert row["metric"] == "auroc" and row["difference"] == expected > 0 and row["ci_low"] > 0


def test_identical_models_differ_by_exactly_zero():
    compared = run({"a": predictions(), "b": predictions()})["comparisons"]
    assert (compared[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_pairing_makes_differences_of_alike_models_narrow():
    a = predictions(n=120)
    b = predictions(n=120)
    nudged = np.clip(b["p_pos"] + np.random.default_rng(0).normal(0, 0.02, len(b)), 0, 1)
    out = run({"a": a, "b": b.assign(p_pos=nudged, p_neg=1 - nudged)})
    row, alone = out["comparisons"].iloc[0], value(out["metrics"], "a", "auroc")
    assert row["ci_high"] - row["ci_low"] < 0.3 * (alone.ci_high - alone.ci_low)


def test_shuffled_labels_cover_half():
    tables = {f"m{i}": predictions(n=60, signal=0, model_seed=i) for i in range(4)}
    metrics = run(tables)["metrics"]
    covered = [value(metrics, model, "auroc") for model in tables]
    assert sum(row.ci_low <= 0.5 <= row.ci_high for row in covered) >= 3


def test_majority_has_an_auroc_of_exactly_one_half():
    row = value(run({"a": predictions().assign(p_neg=0.0, p_pos=1.0)})["metrics"], "a", "auroc")
    assert row.estimate == row.ci_low == row.ci_high == 0.5


def test_prevalence_that_differs_between_folds_ranks_nobody():
    table = predictions()
    share = 0.3 - 0.01 * table["fold"]
    constant = table.assign(p_neg=1 - share, p_pos=share)
    found = run({"majority": constant, "a": constant})["metrics"]
    row = value(found, "majority", "auroc")
    assert row.estimate == row.ci_low == row.ci_high == 0.5 != value(found, "a", "auroc").estimate
    prevalence = (table["y_true"] == "pos").mean()
    assert value(found, "majority", "average_precision").estimate == pytest.approx(prevalence)
    for metric in ("brier", "accuracy"):
        assert value(found, "majority", metric).estimate == value(found, "a", metric).estimate


def test_repeats_are_averaged_and_folds_counted_through():
    table = predictions(repeats=3)
    metrics = run({"a": table})["metrics"]
    each = [roc_auc_score(rows["y_true"] == "pos", rows["p_pos"]) for _, rows in table.groupby("repeat")]
    row = value(metrics, "a", "auroc")
    assert row.estimate == pytest.approx(np.mean(each)) and len(set(each)) == 3
    assert row.n == 48
    folds = [scope for scope in metrics["scope"].unique() if scope.startswith("fold")]
    assert folds == [f"fold{k}" for k in range(3 * N_FOLDS)]
    second = table[(table["repeat"] == 1) & (table["fold"] == 2)]
    expected = roc_auc_score(second["y_true"] == "pos", second["p_pos"])
    assert value(metrics, "a", "auroc", "fold6").estimate == pytest.approx(expected)


def test_repeats_of_one_result_change_nothing():
    once = predictions()
    twice = pd.concat([once, once.assign(repeat=1)], ignore_index=True)
    first, second = (run({"a": table})["metrics"].query("scope == 'pooled'") for table in (once, twice))
    pd.testing.assert_frame_equal(first, second, rtol=1e-12)


def test_a_draw_weighs_the_same_patients_in_every_repeat():
    table = predictions(n=20, repeats=2)
    table = table[~((table["repeat"] == 1) & table["patient"].isin(["P000", "P003"]))]
    w = np.random.default_rng(0).multinomial(20, np.full(20, 1 / 20), size=1).astype(float)
    weight = table["patient"].str[1:].astype(int).map(lambda i: w[0, i])
    each = [
        roc_auc_score(rows["y_true"] == "pos", rows["p_pos"], sample_weight=weight[rows.index])
        for _, rows in table.groupby("repeat")
    ]
    scored = Sample.of(table, CLASSES).score({"auroc": METRICS["auroc"]}, w)
    assert scored == pytest.approx(np.mean(each), abs=1e-12)


def test_more_classes():
    classes = ["Basal", "Her2", "LumA", "LumB"]
    table = predictions(n=80, classes=classes)
    out = run({"a": table}, classes=classes)
    p = table[[f"p_{name}" for name in classes]].to_numpy()
    expected = roc_auc_score(table["y_true"], p, multi_class="ovr", labels=classes)
    assert value(out["metrics"], "a", "auroc").estimate == pytest.approx(expected)
    expected = roc_auc_score(table["y_true"] == "Her2", table["p_Her2"])
    assert value(out["metrics"], "a", "auroc", "class:Her2").estimate == pytest.approx(expected)
    counts = out["confusion"].pivot(index="y_true", columns="y_pred", values="n").loc[classes, classes]
    expected = confusion_matrix(table["y_true"], np.array(classes)[p.argmax(axis=1)], labels=classes)
    assert (counts.to_numpy() == expected).all()
    assert list(out["curves"]["class"].unique()) == classes


def test_sites_with_one_class_or_few_patients_keep_their_row():
    table = predictions(n=48)
    order = np.argsort(table["y_true"].to_numpy(), kind="stable")
    site = pd.Series("mixed", index=range(48), dtype=object)
    site[order[:12]] = "only_neg"
    site[[order[-1], order[12]]] = "tiny"
    site[order[20]] = None
    metrics = run({"a": table}, site=site)["metrics"]
    assert value(metrics, "a", "auroc", "site:only_neg").n == 12
    assert np.isnan(value(metrics, "a", "auroc", "site:only_neg").estimate)
    assert not np.isnan(value(metrics, "a", "accuracy", "site:only_neg").ci_low)
    assert np.isnan(value(metrics, "a", "accuracy", "site:tiny").ci_low)
    assert not np.isnan(value(metrics, "a", "accuracy", "site:tiny").estimate)
    assert value(metrics, "a", "auroc", "site:mixed").n == 48 - 12 - 2 - 1


def test_patients_without_a_modality_are_a_scope_of_their_own():
    table = predictions()
    table.loc[:11, "has_image"] = False
    metrics = run({"both": table[12:], "tolerant": table})["metrics"]
    assert value(metrics, "tolerant", "auroc").n == value(metrics, "both", "auroc").n == 36
    assert value(metrics, "tolerant", "auroc", "incomplete").n == 12
    assert "both" not in set(metrics.loc[metrics["scope"] == "incomplete", "model"])


def test_a_cohort_of_one_modality_is_scored_whole():
    metrics = run({"a": predictions().assign(has_image=False)}, modalities=["expression"])["metrics"]
    assert value(metrics, "a", "auroc").n == 48
    assert "incomplete" not in set(metrics["scope"])


def test_modalities_that_never_meet_are_an_input_error():
    table = predictions()
    table["has_image"] = table.index < 20
    table["has_expression"] = ~table["has_image"]
    with pytest.raises(InputError, match="no patient has expression and image"):
        run({"a": table})


def test_reliability_adds_up_to_ece():
    out = run({"a": predictions()})
    bins = out["reliability"]
    assert list(bins["bin"]) == list(range(10)) and bins["n"].sum() == 48
    assert bins.loc[bins["n"] == 0, ["confidence", "accuracy"]].isna().all(axis=None)
    gaps = (bins["n"] / 48 * (bins["accuracy"] - bins["confidence"]).abs()).sum()
    assert gaps == pytest.approx(value(out["metrics"], "a", "ece").estimate, abs=1e-12)


def test_curve_steps_add_up_to_average_precision():
    out = run({"a": predictions()})
    curve = out["curves"]
    assert set(curve["class"]) == {"pos"}
    area = -(np.diff(curve["recall"]) * curve["precision"].to_numpy()[:-1]).sum()
    assert area == pytest.approx(value(out["metrics"], "a", "average_precision").estimate)
    assert curve["threshold"].isna().sum() == 1


def test_order_of_rows_and_a_second_run_change_nothing():
    tables = {"a": predictions(), "b": predictions(model_seed=1)}
    mixed = {name: table.sample(frac=1, random_state=3) for name, table in tables.items()}
    first, second, third = run(tables), run(tables), run(mixed)
    for name in ("metrics", "comparisons", "confusion"):
        assert first[name].equals(second[name]) and first[name].equals(third[name])
    assert not run(tables, seed=2)["metrics"].equals(first["metrics"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.assign(role="train"), "only test rows"),
        (lambda t: t.assign(p_pos=np.nan), "not finite"),
        (lambda t: t.assign(p_pos=0.9, p_neg=0.9), "not a distribution"),
        (lambda t: t.assign(y_true="x"), "true class"),
        (lambda t: pd.concat([t, t.tail(1)], ignore_index=True), "twice"),
    ],
)
def test_dishonest_predictions_are_refused(spoil, message):
    table = pool([("a", predictions())])
    with pytest.raises(ValueError, match=message):
        evaluate(
            spoil(table),
            patients=table[["patient"]],
            classes=CLASSES,
            order=["a"],
            modalities=BOTH,
            settings=SETTINGS,
            seed=1,
        )


def test_models_on_other_patients_are_refused():
    with pytest.raises(ValueError, match="'b' has no test prediction for patient 'P047'"):
        run({"a": predictions(), "b": predictions().head(47)})
    with pytest.raises(ValueError, match="'b' is missing in the order"):
        run({"a": predictions(), "b": predictions()}, order=["a"])
