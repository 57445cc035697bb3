"""Ranks within a patient in place of log2 values: in fitting and in prediction alike, whatever the scale."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from apply_data import Others
from fusion_cohort import FAST, make_cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.preprocessing import StandardScaler

from histoweave.apply.bundle import write_bundle
from histoweave.apply.read import read_manifest
from histoweave.apply.training import Training
from histoweave.errors import InputError
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.ranks import within_patient_ranks
from histoweave.fusion.transforms import fit_expression
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_table

LOG2 = Fusion(n_genes=4, gene_tokens=16)
RANKS = LOG2.model_copy(update={"expression_transform": "ranks"})
INCREASING = [lambda x: 3 * x + 2, lambda x: 2.0**x, lambda x: x**3, np.arctan]


def table(seed=0, n=15, n_genes=8):
    rng = np.random.default_rng(seed)
    values = rng.integers(-6, 7, size=(n, n_genes)).astype(float)  # with ties, and far enough apart to stay so
    return pd.DataFrame(values, index=[f"p{i}" for i in range(n)], columns=[f"G{i}" for i in range(n_genes)])


def test_by_hand():
    values = np.array([[3.0, 1.0, 1.0, 7.0], [5.0, np.nan, 2.0, np.nan], [np.nan] * 4])
    expected = [[0.625, 0.25, 0.25, 0.875], [0.75, np.nan, 0.25, np.nan], [np.nan] * 4]
    np.testing.assert_allclose(within_patient_ranks(values), expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(range(len(INCREASING))), missing=st.booleans())
def test_an_increasing_change_of_a_patient_changes_nothing(seed, kind, missing):
    train, new = table(seed), table(seed + 1, n=5)
    if missing:
        new.iloc[0, :3] = np.nan
    fitted = fit_expression(train, settings=RANKS, tokens=False, seed=0)
    changed = new.copy()
    changed.iloc[2] = INCREASING[kind](new.iloc[2])  # of one patient, and then of all
    np.testing.assert_array_equal(fitted(new), fitted(changed))
    np.testing.assert_array_equal(fitted(new), fitted(INCREASING[kind](new)))


def test_they_are_scipys_ranks_of_the_kept_genes_standardised_over_the_training_patients():
    train = table(3)
    plain = fit_expression(train, settings=LOG2, tokens=True, seed=0)
    fitted = fit_expression(train, settings=RANKS, tokens=True, seed=0)
    assert fitted.kept_genes == plain.kept_genes and (fitted.group == plain.group).all()  # chosen by log2 values
    ranks = (rankdata(train[fitted.kept_genes], axis=1) - 0.5) / 4
    np.testing.assert_allclose(fitted(train), StandardScaler().fit_transform(ranks), atol=1e-6)
    alone = fitted(train.iloc[[5]])
    np.testing.assert_array_equal(alone, fitted(train)[[5]])


def test_a_missing_value_takes_the_median_rank_and_the_others_are_ranked_without_it():
    train = table(4)
    fitted = fit_expression(train, settings=RANKS, tokens=False, seed=0)
    first, *others = fitted.kept_genes
    new = table(9, n=1)
    new[first] = np.nan
    ranks = np.concatenate([fitted.fill[fitted.kept][:1], (rankdata(new[others].iloc[0]) - 0.5) / 3])
    np.testing.assert_allclose(
        fitted(new)[0], (ranks - fitted.mean[fitted.kept]) / fitted.scale[fitted.kept], rtol=1e-5
    )


def test_genes_that_keep_their_order_are_refused_and_a_constant_rank_counts_as_zero():
    train = pd.DataFrame({"low": [0.0, 1, 2], "high": [10.0, 12, 14]})
    with pytest.raises(InputError, match=r"fusion\.expression_transform.*raise fusion\.n_genes"):
        fit_expression(train, settings=RANKS, tokens=False, seed=0)
    train = train.assign(a=[3.0, 9, 5], b=[4.0, 3, 6])
    fitted = fit_expression(train, settings=RANKS, tokens=False, seed=0)
    values = pd.DataFrame(fitted(train), columns=fitted.kept_genes)
    assert (values[["low", "high"]] == 0).all(axis=None) and values["a"].std() > 0


@pytest.mark.parametrize("model", ["logistic_expression", "late_mean"])
def test_a_fitted_model_says_so_and_predicts_patients_of_any_scale(tmp_path, model):
    cohort = make_cohort(tmp_path / "features", seed=1, n=40, n_folds=2)
    chosen = FAST.model_copy(update={"expression_transform": "ranks"})
    needs = {name: tmp_path / name for name in ("image", "expression")} if model == "late_mean" else {}
    for name in (*needs, model):
        cohort.run(name, 0, tmp_path / name, settings=chosen, needs=needs if name == model and needs else None)
    fitted = load_fold(tmp_path / model)
    assert fitted.settings.expression_transform == "ranks" and fitted.transforms.expression.ranks
    numbers = cohort.expression.select_dtypes("number")
    other = cohort.expression.assign(**(np.exp(numbers) - 5))
    found = []
    for expression in (cohort.expression, other):
        everyone = PatientSet.of(
            cohort.patients, slides=cohort.slides, expression=expression, classes=list(cohort.classes)
        )
        p, _ = fitted.predict(fitted.batcher(everyone), image_of=everyone.ids, expression_of=everyone.ids)
        found.append(p)
    np.testing.assert_array_equal(*found)
    said = read_table(tmp_path / model / "predictions.parquet").query("role != 'val'").set_index("patient")["p_pos"]
    np.testing.assert_allclose(
        pd.Series(found[0][:, 1], index=everyone.ids)[said.index], said, atol=1e-4
    )  # tiles were rounded
    plain = replace(fitted.transforms.expression, ranks=False)
    assert not np.allclose(plain(other.set_index("patient")), plain(cohort.expression.set_index("patient")))


def test_a_bundle_of_ranks_says_so_and_takes_rna_of_any_unit(tmp_path):
    cohort = make_cohort(tmp_path / "features", seed=3, n=60, n_folds=2)
    columns = ["level0_mpp", "mpp_source", "n_tiles", "scanner_vendor", "scanner_model"]
    slides = cohort.slides.head(0).assign(**dict.fromkeys(columns))
    patients = cohort.patients.assign(has_image=False)
    own = patients["patient"] < "P040"
    part = replace(cohort, patients=patients[own], slides=slides, folds=cohort.folds[cohort.folds["patient"] < "P040"])
    chosen, name = FAST.model_copy(update={"expression_transform": "ranks"}), "logistic_expression"
    for k in range(2):
        part.run(name, k, tmp_path / name / f"fold{k}", settings=chosen)
    rna = cohort.expression[cohort.expression["patient"] < "P040"]
    training = Training(
        cohort="home", classes=cohort.classes, positive="pos", models=[name], n_folds=2, repeats=1, tiles={},
        root=tmp_path, patients=patients[own], slides=slides, how_folded={"method": "stratified"}, expression=rna,
        metrics=pd.DataFrame(columns=["model", "metric", "scope", "estimate", "ci_low", "ci_high", "n"]), unit="counts",
    )  # fmt: skip
    bundle = tmp_path / "bundle.zip"
    write_bundle(bundle, training)
    assert read_manifest(bundle).expression.transform == "ranks"
    away = partial(Others, patients[~own], slides, samples=None)
    values = cohort.expression[cohort.expression["patient"] >= "P040"]
    found = away(expression=values).apply(bundle, tmp_path / "same")["predictions"]
    changed = values.assign(**np.exp(values.select_dtypes("number")))
    content, _ = away(expression=changed).compare(bundle, tmp_path / "other", unit="tpm")
    unit = {check["what"]: check for check in content["checks"]}["expression unit"]
    assert unit["status"] == "warn" and "use ranks within each patient" in unit["says"]
    pd.testing.assert_frame_equal(found, away(expression=changed).apply(bundle, tmp_path / "more")["predictions"])
    assert found["status"].eq("ok").all() and found["p_pos"].std() > 0.05
