"""Folds of the cell arm: patients whole, linked patients together, classes spread."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from histoweave.concepts.concept_folds import concept_folds, patient_groups
from histoweave.concepts.images import patient_labels
from histoweave.errors import InputError
from histoweave.settings.folds import Folds


def table(patient, *, label=None, patient_label=None, **more):
    n = len(patient)
    return pd.DataFrame(
        {
            "image": [f"i{i:04d}" for i in range(n)],
            "patient": [str(p) for p in patient],
            "label": pd.Series(label if label is not None else [None] * n, dtype=object),
            "patient_label": pd.Series(patient_label if patient_label is not None else [None] * n, dtype=object),
            "status": "ok",
            "reason": "",
            **more,
        }
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data(), n_folds=st.integers(2, 5), seed=st.integers(0, 100), by_patient=st.booleans())
def test_groups_are_whole_and_everyone_is_tested_once(data, n_folds, seed, by_patient):
    n = data.draw(st.integers(40, 120))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    patient = rng.integers(25, size=n)
    content = rng.integers(8 * n, size=n).astype(str)
    label = np.array(["a", "b", None], dtype=object)[rng.integers(3, size=n)]
    of_patient = np.array(["x", "y"], dtype=object)[patient % 2] if by_patient else None
    images = table(patient, label=label, patient_label=of_patient, content=content)
    assume(patient_groups(images, settings=Folds()).nunique() >= n_folds)
    folds = concept_folds(images, settings=Folds(n_folds=n_folds), seed=seed)
    assert len(folds) == images["patient"].nunique() * n_folds
    assert set(folds["role"]) == {"train", "test"}
    tests = folds[folds["role"] == "test"].groupby("patient")["fold"]
    assert (tests.size() == 1).all() and tests.first().nunique() == n_folds
    fold_of = images["patient"].map(tests.first())
    assert (fold_of.groupby(images["content"]).nunique() == 1).all()


def test_links_join_through_others():
    # a and b share a picture, b and c another; d is alone.
    images = table(list("aabbcd"), content=["1", "2", "2", "3", "3", None])
    assert patient_groups(images, settings=Folds()).to_dict() == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_sites_stay_together_if_asked():
    images = table(list("abcd"), site=["S", "T", "S", "T"])
    assert patient_groups(images, settings=Folds(group_by="site")).to_dict() == dict(zip("abcd", "abab", strict=True))
    assert patient_groups(images, settings=Folds()).to_dict() == dict(zip("abcd", "abcd", strict=True))
    with pytest.raises(InputError, match="site"):
        concept_folds(table(list("abcd")), settings=Folds(n_folds=2, group_by="site"), seed=0)


def test_patient_labels_are_spread_evenly():
    patient = np.repeat(np.arange(40), 3)
    images = table(patient, patient_label=np.where(patient < 10, "rare", "common").astype(object))
    folds = concept_folds(images, settings=Folds(), seed=4)
    tested = folds[folds["role"] == "test"].merge(images[["patient", "patient_label"]].drop_duplicates())
    counts = tested.groupby(["fold", "patient_label"]).size().unstack()
    assert (counts["rare"] == 2).all() and (counts["common"] == 6).all()


def test_order_of_rows_and_seed():
    images = table(np.arange(60) % 20, label=np.array(["a", "b"], dtype=object)[np.arange(60) % 2])
    one = concept_folds(images, settings=Folds(), seed=3)
    assert one.equals(concept_folds(images.sample(frac=1, random_state=0), settings=Folds(), seed=3))
    assert not one.equals(concept_folds(images, settings=Folds(), seed=4))


def test_refused_images_and_patients_without_any_other_are_left_out():
    images = table(np.arange(12) % 6)
    images.loc[images["patient"] == "2", "status"] = "unreadable_cell"
    images.loc[0, "status"] = "missing_file"
    folds = concept_folds(images, settings=Folds(n_folds=2), seed=0)
    assert set(folds["patient"]) == {"0", "1", "3", "4", "5"}


@pytest.mark.parametrize("label", [None, "only"])
def test_folds_without_classes_are_still_folds(label):
    images = table(np.arange(20), label=np.array([label] * 20, dtype=object))
    folds = concept_folds(images, settings=Folds(), seed=0)
    assert (folds[folds["role"] == "test"].groupby("fold").size() == 4).all()


def test_too_few_patients():
    with pytest.raises(InputError, match=r"3 patients .* cannot fill 5 folds"):
        concept_folds(table(np.arange(30) % 3), settings=Folds(), seed=0)
    joined = table(np.arange(6), content=["same"] * 4 + ["x", "y"])
    with pytest.raises(InputError, match="3 patients"):
        concept_folds(joined, settings=Folds(n_folds=4), seed=0)


def test_two_labels_of_one_patient():
    images = table(["p1", "p1", "p2"], patient_label=["AML", "control", None])
    with pytest.raises(InputError, match="'p1'"):
        patient_labels(images)
    images = table(["p1", "p1", "p2"], patient_label=[None, "control", None])
    assert patient_labels(images).to_dict() == {"p1": "control", "p2": None}
