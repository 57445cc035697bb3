"""Sets of classes as text: told apart whatever the classes are called."""

import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.apply.conformal import coverage, prediction_sets
from histoweave.decide.class_sets import joined, parted
from histoweave.decide.conformal import cross_sets

LABELS = st.lists(st.text(min_size=1), unique=True) | st.lists(st.text(';" ,a', min_size=1), unique=True)


@fuzz(300)
@given(LABELS)
def test_what_is_joined_comes_apart_again(labels):
    assert parted(joined(labels)) == labels


def test_plain_labels_are_joined_as_they_are():
    assert joined(["a b", "c-d", "e'f"]) == "a b; c-d; e'f" and parted("a b; c-d") == ["a b", "c-d"]
    assert joined(["ER+; HER2-", "TNBC"]) == '"ER+; HER2-"; TNBC' and joined([]) == "" and parted("") == []


@pytest.mark.parametrize("classes", [["ER+; HER2-", "TNBC"], ["a;b", "a"], ['"x', "x; x"], ["ER+; HER2-", "HER2-"]])
def test_coverage_does_not_depend_on_what_classes_are_called(classes):
    def measured(names):
        y = np.random.default_rng(1).integers(2, size=200)
        p = np.where(np.eye(2)[y] == 1, 0.8, 0.2) + np.random.default_rng(2).uniform(-0.15, 0.15, 200)[:, None] * [
            1,
            -1,
        ]
        columns = {f"p_{name}": p[:, code] for code, name in enumerate(names)}
        table = pd.DataFrame({"model": "m", "fold": 0, "patient": [f"p{i}" for i in range(200)], **columns})
        scores = pd.DataFrame({"model": "m", "fold": 0, "score": 1 - p[np.arange(200), y]})
        sets = prediction_sets(table, scores, classes=names, level=0.9)
        found = table.assign(
            y_true=np.array(names, dtype=object)[y],
            site="s",
            status="ok",
            set=[sets["m", i] for i in table["patient"]],
            set_class=None,
        )
        return coverage(found, level=0.9, confidence=0.95)

    numbers = ["coverage", "mean_set_size", "singletons", "empty", "n"]
    pooled = [measured(names).query("scope == 'pooled'")[numbers] for names in (classes, ["a", "b"])]
    pd.testing.assert_frame_equal(*pooled)
    assert pooled[0]["coverage"].iloc[0] >= 0.9


def test_sets_of_the_training_cohort_are_written_in_the_same_way():
    classes = ["ER+; HER2-", "TNBC"]
    table = pd.DataFrame(
        {
            "model": "m", "patient": [f"p{i}" for i in range(40)], "repeat": 0, "fold": np.arange(40) % 2,
            "y_true": np.array(classes, dtype=object)[np.arange(40) // 2 % 2], "p_ER+; HER2-": 0.5, "p_TNBC": 0.5,
        }
    )  # fmt: skip
    found = cross_sets(table, classes, [0.9])
    assert found["set"].map(parted).map(len).eq(found["size"]).all() and (found["size"] > 0).all()
    assert all(truth in parted(text) for truth, text in zip(found["y_true"], found["set"], strict=True))
