"""Shuffled labels: who exchanges labels with whom, and the folds of each shuffle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.cohort.shuffles import exchange_groups, make_shuffles, shuffle_labels
from histoweave.evaluation.null_wording import how_shuffled
from histoweave.settings.folds import Folds


def cohort(labels: list[str], sites: list[str | None]) -> pd.DataFrame:
    patients = pd.DataFrame({"patient": [f"P{i:03d}" for i in range(len(labels))], "label": labels, "site": sites})
    return patients.assign(included=True, complete=True)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["s0", "s1", "s2"])), min_size=1), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_shuffle_keeps_the_classes_of_every_group(pairs, shuffle):
    labels, groups = (np.array(part, dtype=object) for part in zip(*pairs, strict=True))
    shuffled = shuffle_labels(labels, groups, seed=1, shuffle=shuffle)
    assert pd.crosstab(groups, labels).equals(pd.crosstab(groups, shuffled).rename_axis(columns="col_0"))
    assert list(shuffled) == list(shuffle_labels(labels, groups, seed=1, shuffle=shuffle))


def test_every_order_within_a_group_is_equally_likely():
    labels, groups = np.array(["a", "b", "b", "a"], dtype=object), np.array(["s", "s", "s", "t"])
    seen = [tuple(shuffle_labels(labels, groups, seed=3, shuffle=number)) for number in range(900)]
    counts = pd.Series(seen).value_counts()
    assert set(counts.index) == {("a", "b", "b", "a"), ("b", "a", "b", "a"), ("b", "b", "a", "a")}
    assert (counts - 300).abs().max() < 60  # 4 standard deviations


def test_groups_are_sites_and_patients_without_one_are_a_group():
    patients = cohort(["a", "b", "a", "b", "a", "a"], ["s", "s", None, None, "t", "t"])
    groups, how = exchange_groups(patients)
    assert list(groups) == ["s", "s", "no site", "no site", "t", "t"]
    assert how == {"within": "site", "patients": 6, "sites": 2, "one_class_sites": 1, "fixed": 2}
    assert how_shuffled(how) == (
        "Labels are shuffled within sites; 2 of 6 patients keep their label, because of sites with only one class (1)."
    )
    assert how_shuffled(how | {"one_class_sites": 0, "fixed": 0}) == "Labels are shuffled within sites."


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        (["s", "s", "t", "t"], "not within sites: 4 of 4 patients come from sites with only one class."),
        (["s"] * 4, "among all patients, because fewer than two sites are known."),
        ([None] * 4, "among all patients, because fewer than two sites are known."),
    ],
)
def test_labels_are_shuffled_over_all_where_sites_do_not_serve(sites, said):
    groups, how = exchange_groups(cohort(["a", "a", "b", "b"], sites))
    assert how["within"] == "all" and how_shuffled(how).endswith(said) and groups.nunique() == 1


@pytest.mark.parametrize("group_by", ["patient", "site"])
def test_each_shuffle_has_stratified_folds_of_its_own(group_by):
    rng = np.random.default_rng(0)
    patients = cohort(list(rng.permutation(["a", "b"] * 30)), [f"s{i % 10}" for i in range(60)])
    labels, folds, how = make_shuffles(patients, shuffles=3, settings=Folds(group_by=group_by), seed=1)
    again = make_shuffles(
        patients.sample(frac=1, random_state=1), shuffles=4, settings=Folds(group_by=group_by), seed=1
    )
    pd.testing.assert_frame_equal(labels, again[0][again[0]["shuffle"] < 3])
    pd.testing.assert_frame_equal(folds, again[1][again[1]["shuffle"] < 3])
    assert how["shuffles"] == 3 and labels.groupby("shuffle")["label"].apply(tuple).nunique() == 3
    test = folds[folds["role"] == "test"].merge(labels, on=["shuffle", "patient"])
    assert (test.groupby("shuffle")["patient"].nunique() == 60).all()
    counts = test.groupby(["shuffle", "fold", "label"]).size()
    spread = 1 if group_by == "patient" else 3
    assert (counts - 6).abs().max() <= spread
    if group_by == "site":
        sites = test.merge(patients[["patient", "site"]], on="patient")
        assert (sites.groupby(["shuffle", "site"])["fold"].nunique() == 1).all()
    else:
        assert test.sort_values("patient").groupby("shuffle")["fold"].apply(tuple).nunique() == 3
