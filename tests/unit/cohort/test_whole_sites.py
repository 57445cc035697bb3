"""When folds keep whole sites together, what is said of it, and the side check with whole sites left out."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs import COHORT, base_config, make_cohort, wiring_in

from histoweave.cohort.folds import check_classes, make_folds
from histoweave.cohort.site_folds import is_planned, site_check_folds
from histoweave.cohort.whole_sites import MAX_DEVIATION, MIN_SITES, obstacle, too_few_sites
from histoweave.errors import InputError
from histoweave.evaluation.site_check import NOT_FITTED, evaluate_sites
from histoweave.fusion.site_fold import site_fold
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.settings.fusion import Fusion
from histoweave.wiring.sites import SiteWiring


def cohort(sizes, *, seed=0, prevalence=0.5):
    """A patient per row; `sizes` patients at the sites s0, s1, …"""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    return pd.DataFrame(
        {
            "patient": [f"p{i:03d}" for i in range(n)],
            "label": np.where(rng.random(n) < prevalence, "a", "b").astype(object),
            "site": np.repeat([f"s{i}" for i in range(len(sizes))], sizes).astype(object),
            "complete": True,
            "included": True,
        }
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(4, 15), min_size=3, max_size=9), n_folds=st.integers(2, 4), repeats=st.integers(1, 2),
    seed=st.integers(0, 100),
)  # fmt: skip
def test_auto_splits_no_site_where_it_can_and_tests_everybody_once(sizes, n_folds, repeats, seed):
    patients = cohort(sizes, seed=seed)
    config = Folds(n_folds=n_folds, repeats=repeats)
    table, how = make_folds(patients, settings=config, seed=seed)
    tests = table[table["role"] == "test"].merge(patients, on="patient")
    assert (tests.groupby(["repeat", "patient"]).size() == 1).all() and len(tests) == len(patients) * repeats
    problem = obstacle(*patients[["label", "site"]].to_numpy(dtype=object).T, settings=config, seed=seed)
    assert how["asked"] == "auto" and how["group_by"] == ("patient" if problem else "site")
    if problem:
        assert problem in how["why"]
        return
    assert "sites, the largest with" in how["why"]
    assert (tests.groupby(["repeat", "site"])["fold"].nunique() == 1).all()
    assert how["sites_shared_between_test_and_train"] == 0
    assert how["largest_class_share_deviation"] <= MAX_DEVIATION + 1e-9
    assert (tests.groupby(["repeat", "fold"])["label"].nunique() == 2).all()
    train = table[table["role"] != "test"].merge(patients, on="patient")
    assert (train.groupby(["repeat", "fold", "label"]).size() >= 2).all()


@pytest.mark.parametrize(
    ("sites", "reason"),
    [
        (["x"] * 9 + [None], "1 of 10 patients have no site"),
        (list("abcd") * 5, f"4 sites are fewer than the {MIN_SITES} that are needed"),
        (list("aaaaaaabcdef"), "one site has 7 of 12 patients, more than half"),
        (list("aaaaaabcdefg"), ""),
    ],
)
def test_what_the_sites_alone_forbid(sites, reason):
    assert too_few_sites(sites, n_folds=3) == reason


def test_labels_that_follow_the_site_leave_folds_over_patients():
    patients = cohort([10] * 6)
    patients["label"] = np.where(patients["site"] == "s0", "a", "b")
    _, how = make_folds(patients, settings=Folds(n_folds=5), seed=1)
    assert how["group_by"] == "patient" and "fewer than two patients of some class" in how["why"]


def test_what_was_asked_for_is_done_and_said():
    patients = cohort([10] * 8)
    for asked in ("patient", "site"):
        _, how = make_folds(patients, settings=Folds(group_by=asked), seed=1)
        assert how["group_by"] == how["asked"] == asked
        assert how["why"] == f"The configuration says folds.group_by: {asked}."


def test_planning_refuses_no_cohort_without_sites():
    labels = ["a", "b"] * 10
    check_classes(labels, [None] * 20, settings=Folds(), where="patients.tsv")
    with pytest.raises(InputError, match="some patients have no site"):
        check_classes(labels, [None] * 20, settings=Folds(group_by="site"), where="patients.tsv")


# ---------------------------------------------------------------- the side check


def test_the_side_check_is_for_folds_over_patients_with_sites_enough():
    patients = cohort([10] * 6)
    assert is_planned(patients, settings=Folds(group_by="patient"))
    assert not is_planned(patients, settings=Folds(group_by="patient", site_check=False))
    assert not any(is_planned(patients, settings=Folds(group_by=other)) for other in ("auto", "site"))
    assert not is_planned(cohort([10] * 4), settings=Folds(group_by="patient"))
    assert not is_planned(patients.assign(site=None), settings=Folds(group_by="patient"))
    # A site of patients without a label is no site.
    few = patients.assign(label=patients["label"].mask(patients["site"].isin(["s0", "s1"]), None))
    assert not is_planned(few, settings=Folds(group_by="patient"))


def test_its_models_are_the_references_and_the_main_fusion_model(tmp_path):
    make_cohort(tmp_path / "run")
    raw = base_config(simulated=False)
    raw["fusion"]["models"] = ["majority", "best_gene", "image", "expression", "concat", "cross_attention", "late_mean"]
    wiring = wiring_in(tmp_path / "run", raw)
    sites = SiteWiring(wiring.config, wiring)
    assert sites.cohorts() == [COHORT] and sites.targets() == [f"results/{COHORT}/sites/metrics.parquet"]
    assert sites.models(COHORT) == ["majority", "best_gene", "cross_attention"]
    assert sites.fold_models(COHORT) == [m for m in sites.models(COHORT) for _ in range(2)]
    assert sites.fold_files(COHORT)[0] == f"results/{COHORT}/sites/majority/fold0/predictions.parquet"
    assert wiring.fold_inputs(COHORT, "sites", "best_gene", "0")["folds"] == f"results/{COHORT}/sites/folds.parquet"
    raw = yaml.safe_load(yaml.safe_dump(raw)) | {"folds": {"n_folds": 2, "group_by": "auto"}}
    auto = wiring_in(tmp_path / "run", raw)
    assert SiteWiring(auto.config, auto).targets() == []


def fitted_folds(patients, *, how_seed=1):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(len(patients), 12)) + (patients["label"] == "b").to_numpy()[:, None]
    expression = pd.DataFrame(values, columns=[f"G{i}" for i in range(12)]).assign(patient=patients["patient"])
    slides = pd.DataFrame(columns=["slide", "patient", "status", "features"], dtype=object)
    folds, how = site_check_folds(patients, settings=Folds(n_folds=3), seed=how_seed, where="x")
    found = []
    for model in ("majority", "best_gene"):
        for k in range(3):
            table, reason = site_fold(
                model=model, k=k, patients=patients, folds=folds, slides=slides, expression=expression,
                classes=["a", "b"], settings=Fusion(n_genes=5), seed=1, device="cpu",
            )  # fmt: skip
            assert bool(reason) == table.empty
            found.append((model, table))
    return found, how


def scored(found, how, patients):
    return evaluate_sites(
        found, patients=patients, how_folded=how, classes=["a", "b"], modalities=["expression"],
        settings=Evaluation(bootstrap=1000), seed=1,
    )  # fmt: skip


def test_the_side_check_scores_every_patient_by_a_model_that_saw_no_patient_of_the_site():
    torch.manual_seed(0)
    patients = cohort([10] * 6, seed=3).assign(has_image=False, has_expression=True)
    found, how = fitted_folds(patients)
    assert how["feasible"] and how["group_by"] == "site"
    best = pd.concat([table for model, table in found if model == "best_gene"])
    assert sorted(best["patient"]) == list(patients["patient"]) and set(best["role"]) == {"test"}
    of_site = best.merge(patients[["patient", "site"]], on="patient").groupby("site")["fold"].nunique()
    assert (of_site == 1).all()
    metrics = scored(found, how, patients)
    assert set(metrics["scope"]) == {"pooled"} and (metrics["reason"] == "").all()
    row = metrics.set_index(["model", "metric"]).loc[("best_gene", "auroc")]
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"] and row["estimate"] > 0.6 and row["n"] == 60


def test_sites_that_do_not_fill_the_folds_are_a_reason_and_no_error():
    patients = cohort([10] * 6, seed=3).assign(has_image=False, has_expression=True)
    patients["label"] = np.where(patients["site"] == "s0", "a", "b")
    found, how = fitted_folds(patients)
    assert not how["feasible"] and all(table.empty for _, table in found)
    metrics = scored(found, how, patients)
    assert metrics["estimate"].isna().all() and (metrics["n"] == 0).all()
    assert (
        metrics["reason"].str.startswith("Whole sites cannot be kept together: a fold would have fewer than two").all()
    )
    assert set(metrics["model"]) == {"majority", "best_gene"}


def test_a_fold_that_cannot_be_fitted_takes_its_model_out_and_no_other():
    patients = cohort([10] * 6, seed=3).assign(has_image=False, has_expression=True)
    found, how = fitted_folds(patients)
    found[4] = ("best_gene", found[4][1].head(0))
    metrics = scored(found, how, patients).set_index("model")
    assert (metrics.loc["best_gene", "reason"] == NOT_FITTED).all()
    assert (metrics.loc["majority", "reason"] == "").all()
