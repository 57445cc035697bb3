"""Folds: patients once, classes spread, sites whole; the programme for sites against brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.cohort.folds import make_folds
from histoweave.cohort.whole_sites import assign_sites
from histoweave.errors import InputError
from histoweave.settings.folds import Folds


def cohort(n, n_classes=2, n_sites=4, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "patient": [f"p{i:03d}" for i in range(n)],
            "label": [f"c{i % n_classes}" for i in range(n)],
            "site": [f"s{s}" for s in rng.integers(0, n_sites, n)],
            "complete": rng.random(n) > 0.1,
            "included": True,
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(40, 90), n_classes=st.integers(2, 4), n_folds=st.integers(2, 6), repeats=st.integers(1, 3),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_every_patient_is_tested_once_per_repeat(n, n_classes, n_folds, repeats, seed):
    patients = cohort(n, n_classes, seed=seed)
    table, _ = make_folds(patients, settings=Folds(n_folds=n_folds, repeats=repeats), seed=seed)
    assert len(table) == n * n_folds * repeats and not table.duplicated(["patient", "repeat", "fold"]).any()
    tests = table[table["role"] == "test"].groupby(["repeat", "patient"]).size()
    assert len(tests) == n * repeats and (tests == 1).all()
    labels = table.merge(patients[["patient", "label"]], on="patient")
    counts = labels.groupby(["repeat", "fold", "role"])["label"].nunique()
    assert (counts == n_classes).all() and set(table["role"]) == {"train", "val", "test"}
    sizes = labels[labels["role"] == "test"].groupby(["repeat", "label", "fold"]).size()
    spread = sizes.groupby(["repeat", "label"]).agg(lambda s: s.max() - s.min())
    # Strata are class x completeness, so a class may differ by one per stratum.
    assert spread.max() <= 2


def test_folds_do_not_depend_on_the_order_of_rows():
    patients = cohort(60)
    one, _ = make_folds(patients, settings=Folds(), seed=3)
    other, _ = make_folds(patients.sample(frac=1, random_state=1), settings=Folds(), seed=3)
    pd.testing.assert_frame_equal(one, other)
    assert not one.equals(make_folds(patients, settings=Folds(), seed=4)[0])


def objective(counts, assignment, n_folds):
    shares = np.stack([counts[assignment == k].sum(axis=0) for k in range(n_folds)]) / counts.sum(axis=0)
    return np.abs(shares - 1 / n_folds).sum()


@pytest.mark.parametrize("seed", range(8))
def test_site_programme_reaches_the_brute_force_optimum(seed):
    rng = np.random.default_rng(seed)
    counts, n_folds = rng.integers(1, 15, (7, 3)), 3
    found = assign_sites(counts, n_folds=n_folds)
    best = min(
        objective(counts, np.array(a), n_folds)
        for a in itertools.product(range(n_folds), repeat=7)
        if len(set(a)) == n_folds
    )
    assert objective(counts, found, n_folds) <= best * 1.011 + 1e-9


def test_sites_stay_whole_and_repeats_are_deterministic():
    patients = cohort(300, 3, n_sites=20, seed=5)
    config = Folds(n_folds=5, repeats=2, group_by="site")
    table, how = make_folds(patients, settings=config, seed=1)
    assert how["sites_shared_between_test_and_train"] == 0 and how["largest_class_share_deviation"] < 0.05
    merged = table[table["role"] == "test"].merge(patients, on="patient")
    assert (merged.groupby(["repeat", "site"])["fold"].nunique() == 1).all()
    assert (table.groupby(["repeat", "fold"])["role"].nunique() == 3).all()
    pd.testing.assert_frame_equal(table, make_folds(patients, settings=config, seed=1)[0])
    _, plain = make_folds(patients, settings=Folds(group_by="patient"), seed=1)
    assert plain["sites_shared_between_test_and_train"] > 0


def test_too_small_groups_say_what_to_do():
    patients = cohort(30, 2)
    patients.loc[patients["label"] == "c1", "label"] = ["c1"] * 4 + ["c0"] * 11
    with pytest.raises(InputError, match=r"class 'c1' has 4 patients.*lower folds\.n_folds"):
        make_folds(patients, settings=Folds(n_folds=5), seed=1)
    one_site = cohort(40, 2, n_sites=2)
    with pytest.raises(InputError, match="2 sites cannot fill 3 folds"):
        make_folds(one_site, settings=Folds(n_folds=3, group_by="site"), seed=1)
    # A class that lives in one site only cannot be both trained on and tested with whole sites.
    lonely = cohort(40, 2, n_sites=3).assign(label=lambda t: np.where(t["site"] == "s0", "c1", "c0"))
    with pytest.raises(InputError, match="fewer than two patients of some class"):
        make_folds(lonely, settings=Folds(n_folds=3, group_by="site"), seed=1)
