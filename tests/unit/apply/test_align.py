"""External RNA on the scale of training: medians exactly, quantiles onto themselves, never few patients, always said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from apply_data import made_home
from bundle_edits import members, sealed, with_table
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.apply import align, reference
from histoweave.apply.align import LEVELS, aligned, quantile_map, quantiles_of, units_may_differ
from histoweave.apply.manifest import parse
from histoweave.apply.read import opened
from histoweave.errors import InputError
from histoweave.settings.apply import Apply


def cohort(seed=0, n=25, n_genes=6, zeros=True):
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 2, size=(n, n_genes))
    if zeros:
        values = np.maximum(np.round(values, 1) - 4, 0)
    values[0, 1] = np.nan
    return pd.DataFrame(values, index=[f"p{i}" for i in range(n)], columns=[f"G{i}" for i in range(n_genes)])


def moved(table, method, training):
    return aligned(table, align=method, median=training.median(), quantiles=quantiles_of(training))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), zeros=st.booleans())
def test_medians_become_those_of_training_and_differences_within_a_gene_stay(seed, zeros):
    training, table = cohort(seed, n=40, zeros=zeros), cohort(seed + 1, zeros=zeros) * 3 + 1
    found = moved(table, "median", training)
    np.testing.assert_allclose(found.median(), training.median(), atol=1e-12)
    np.testing.assert_allclose(found - found.iloc[3], table - table.iloc[3], atol=1e-12)
    assert (found.isna() == table.isna()).all(axis=None)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), zeros=st.booleans(), n=st.integers(20, 80))
def test_the_reference_is_mapped_onto_itself_and_its_linear_changes_back(seed, zeros, n):
    training = cohort(seed, n=n, zeros=zeros)
    np.testing.assert_allclose(moved(training, "quantile", training), training, atol=1e-9)
    inside = training[(training >= training.quantile(0.01)) & (training <= training.quantile(0.99))]
    back = moved(training * 2 - 3, "quantile", training)
    np.testing.assert_allclose(back.where(inside.notna()), inside, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), zeros=st.booleans())
def test_a_mapped_gene_keeps_its_order_and_gets_the_quantiles(seed, zeros):
    training, table = cohort(seed, n=60, zeros=False), cohort(seed + 1, n=200, zeros=zeros)
    for gene in table:
        values = table[gene].dropna().to_numpy()
        target = training[gene].dropna().quantile(LEVELS).to_numpy()
        found = quantile_map(values, target)
        assert (np.diff(found[np.argsort(values, kind="stable")]) >= -1e-12).all()
        if not zeros:
            np.testing.assert_allclose(np.quantile(found, [0.05, 0.5, 0.95]), target[[1, 10, 19]], atol=0.1)


def test_values_that_are_all_the_same_go_to_the_mean_of_the_quantiles():
    target = np.linspace(1, 3, len(LEVELS))
    np.testing.assert_allclose(quantile_map(np.array([4.0, 4, np.nan]), target), [2, 2, np.nan])


def test_few_patients_are_refused_in_one_line_and_genes_without_a_reference_stay():
    training = cohort(n=30)
    for method in ("median", "quantile"):
        with pytest.raises(InputError, match=r"apply\.align: '.*' needs the RNA of at least 20 patients.*has 19"):
            moved(cohort(n=19), method, training)
        more = cohort(n=20).assign(OTHER=7.0, EMPTY=np.nan)
        found = moved(more, method, training.assign(EMPTY=1.0))
        assert (found["OTHER"] == 7).all() and found["EMPTY"].isna().all()
    assert moved(cohort(n=3), "none", training).equals(cohort(n=3))
    with pytest.raises(InputError, match=r"quantiles of the training patients.*make the bundle again"):
        aligned(cohort(), align="quantile", median=training.median(), quantiles=None)


def test_units_may_differ_under_ranks_and_under_alignment_only():
    assert not units_may_differ("none", transform="log2")
    assert units_may_differ("median", transform="log2") and units_may_differ("none", transform="ranks")


# ---------------------------------------------------------------- through a bundle


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


def shifted(others):
    """The cohort as another platform would give it: every gene moved by an amount of its own."""
    rng = np.random.default_rng(0)
    numbers = others.expression.select_dtypes("number")
    return replace(others, expression=others.expression.assign(**(numbers + rng.normal(0, 3, numbers.shape[1]))))


def test_a_shift_of_each_gene_is_taken_back_and_said(home, tmp_path):
    _, others, bundle = home
    chosen = Apply(align="median")
    same = others.apply(bundle, tmp_path / "same", settings=chosen)["predictions"]
    content, _ = shifted(others).compare(bundle, tmp_path / "shifted", settings=chosen, unit="log2")
    checks = {check["what"]: check for check in content["checks"]}
    assert checks["expression unit"]["status"] == "warn" and "each gene is aligned" in checks["expression unit"]["says"]
    assert checks["alignment of RNA"]["says"] == content["alignment"]["says"] == align.statement("median", 20)
    assert content["alignment"]["method"] == "median" and content["alignment"]["n_patients"] == 20
    found = shifted(others).apply(bundle, tmp_path / "shifted", settings=chosen)["predictions"]
    p = ["p_neg", "p_pos"]
    np.testing.assert_allclose(found[p], same[p], atol=1e-5)
    away = shifted(others).apply(bundle, tmp_path / "away", settings=Apply(insist=True))["predictions"]
    reads = ~found["model"].isin(["majority", "image", "logistic_image"])
    assert not np.allclose(away.loc[reads, p], found.loc[reads, p], atol=0.01)
    assert found["alignment"].eq("median").equals(reads) and away["alignment"].eq("none").all()


def test_drift_is_that_of_the_values_as_they_came(home, tmp_path):
    _, others, bundle = home
    plain = shifted(others).compare(bundle, tmp_path / "plain")[1]
    pd.testing.assert_frame_equal(
        plain, shifted(others).compare(bundle, tmp_path / "moved", settings=Apply(align="quantile"))[1]
    )
    assert plain["flagged"].any()


def test_few_patients_are_answered_by_the_comparison_and_refused_by_the_application(home, tmp_path):
    _, others, bundle = home
    few = others.without("expression", ["P040"])
    with pytest.raises(InputError, match=r"needs the RNA of at least 20 patients, but this cohort has 19"):
        few.apply(bundle, tmp_path, settings=Apply(align="median"))
    content, _ = few.compare(bundle, tmp_path, settings=Apply(align="median"))
    assert content["alignment"] == {"method": "none", "n_patients": 0, "says": ""}


def test_a_bundle_of_before_can_be_aligned_by_medians_only_and_has_no_sets_by_class(home, tmp_path):
    _, others, bundle = home
    content = members(bundle)
    del content[reference.QUANTILES]
    content = with_table(content, "calibration/conformal_scores.parquet", lambda t: t.drop(columns="y_true"))
    old = sealed(tmp_path / "old.zip", content)
    found = others.apply(old, tmp_path / "median", settings=Apply(align="median"))
    assert found["predictions"]["set"].notna().all() and found["predictions"]["set_class"].isna().all()
    assert set(found["coverage"]["kind"]) == {"marginal"}
    with pytest.raises(InputError, match="which this bundle does not have"):
        others.apply(old, tmp_path / "quantile", settings=Apply(align="quantile"))


@pytest.mark.parametrize(
    "change",
    [lambda q: q[:-1], lambda q: q[::-1], lambda q: np.where(np.arange(len(q)) == 2, np.nan, q)],
    ids=["too few", "descending", "missing"],
)
def test_quantiles_that_cannot_be_are_refused(home, tmp_path, change):
    _, others, bundle = home
    content = with_table(
        members(bundle), reference.QUANTILES, lambda t: t.assign(quantiles=[change(q) for q in t["quantiles"]])
    )
    with pytest.raises(InputError, match=r"gene_quantiles\.parquet"):
        others.compare(sealed(tmp_path / "bad.zip", content), tmp_path)


def test_the_manifest_of_log2_models_is_as_it_was_and_a_false_one_is_refused(home, tmp_path):
    _, others, bundle = home
    with opened(bundle) as held:
        manifest = held.manifest
    assert manifest.expression.transform == "log2" and '"transform"' not in manifest.text()
    ranked = manifest.model_copy(update={"expression": manifest.expression.model_copy(update={"transform": "ranks"})})
    assert parse(ranked.text().encode(), where="x").expression.transform == "ranks"
    expression = ranked.model_dump(mode="json")["expression"]
    false = sealed(tmp_path / "false.zip", members(bundle), expression=expression)
    with pytest.raises(InputError, match="was fitted on log2, the bundle is said to read ranks"):
        others.compare(false, tmp_path)
