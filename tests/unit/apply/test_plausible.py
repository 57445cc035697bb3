"""Values that training never showed are found, and values of the same kind are not, whatever their number and order."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ROOT

from histoweave.apply.measures import beyond, quantiles
from histoweave.apply.plausible import JUDGED, MIN_VALUES, TYPES, groups, judge_values
from histoweave.apply.reference import WIDE_RANGE
from histoweave.expression.normalise import log_normalise
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.settings.cohorts import Simulate
from histoweave.simulate.demo_tables import POSITIVE
from histoweave.simulate.expression import write_expression

GENES = [f"G{i}" for i in range(100)]
NOWHERE = pd.Series(dtype=object)


def normal(n, *, seed, shift=0.0, names=GENES):
    values = np.random.default_rng(seed).normal(8, 2, (n, len(names))) + shift
    return pd.DataFrame(values, index=[f"P{i:03d}" for i in range(n)], columns=names)


def limits_of(table):
    return quantiles(table, held=WIDE_RANGE)


TRAINING = limits_of(normal(200, seed=0))


@pytest.mark.parametrize("modality", [EXPRESSION, IMAGE])
def test_shares_are_counted_by_hand(modality):
    limits = pd.DataFrame({"low": 0.0, "high": 1.0}, index=GENES)
    table = pd.DataFrame(0.5, index=[f"P{i}" for i in range(6)], columns=GENES)
    judged = JUDGED[modality]
    n = int(100 * judged.medians)
    table.iloc[:4, :n] = 7.0  # of four of six patients, so the medians are 7
    found = judge_values(table, limits, NOWHERE, modality=modality)
    assert found.astype(TYPES).dtypes.to_dict() == found.iloc[:0].astype(TYPES).dtypes.to_dict()
    np.testing.assert_allclose(found["share"], [judged.medians] * 4 + [0.0] * 2)
    assert (found["share_medians"] == n / 100).all() and (found["n_group"] == 6).all()
    assert (found["reason"] == found["reason"][0]).all() and f"medians of {n}% or more of the" in found["reason"][0]
    table.iloc[:4, n - 1] = 0.5
    assert (judge_values(table, limits, NOWHERE, modality=modality)["reason"] == "").all()


@settings(max_examples=40, deadline=None)
@given(
    shift=st.sampled_from([0.0, 0.5, 12.0, -12.0]),
    n=st.integers(1, 12),
    lost=st.floats(0, 0.5),
    seed=st.integers(0, 2**16),
)
def test_the_same_kind_is_read_and_another_scale_is_not(shift, n, lost, seed):
    """Six standard deviations off, with up to half of the values missing; and half a one, which drift is for."""
    table = normal(n, seed=seed, shift=shift)
    table = table.mask(np.random.default_rng(seed).uniform(size=table.shape) < lost)
    found = judge_values(table, TRAINING, NOWHERE, modality=EXPRESSION)
    assert (found["reason"] != "").all() == (abs(shift) > 6) == (found["reason"] != "").any()
    assert found["patient"].tolist() == list(table.index) and found["share"].between(0, 1).all()
    assert found["share_medians"].isna().all() == (n < 5)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(8)), columns=st.permutations(range(20)))
def test_neither_order_of_patients_nor_of_genes_counts(order, columns):
    table = normal(8, seed=3, names=GENES[:20])
    table.iloc[0] += 30
    found = judge_values(table, TRAINING, NOWHERE, modality=EXPRESSION)
    again = judge_values(table.iloc[list(order), list(columns)], TRAINING, NOWHERE, modality=EXPRESSION)
    pd.testing.assert_frame_equal(found, again)
    assert found["reason"].ne("").tolist() == [True] + [False] * 7


def test_sites_are_judged_by_themselves_and_the_rest_together():
    site = pd.Series(["a"] * 6 + ["b"] * 5 + ["c"] * 2 + [None] * 3, index=[f"P{i:03d}" for i in range(16)])
    found = [list(members) for members in groups(site.index, site)]
    assert found == [list(range(6)), list(range(6, 11)), list(range(11, 16))]
    assert [list(members) for members in groups(site.index[:6], site)] == [list(range(6))]
    assert list(groups(site.index[:4], site)) == []
    table = normal(16, seed=1)
    table.iloc[:6] += 12
    table.iloc[14] += 12
    rows = judge_values(table, TRAINING, site, modality=EXPRESSION)
    assert rows["reason"].ne("").tolist() == [True] * 6 + [False] * 8 + [True, False]
    assert rows["n_group"].tolist() == [6] * 6 + [5] * 10
    assert (
        "the medians of 50% or more of the genes" in rows["reason"][0]
        and "of the patient's genes" in rows["reason"][14]
    )


def test_few_genes_of_one_patient_decide_nothing():
    few = normal(3, seed=1, shift=30, names=GENES[: MIN_VALUES - 1])
    assert (judge_values(few, TRAINING, NOWHERE, modality=EXPRESSION)["reason"] == "").all()
    few = normal(5, seed=1, shift=30, names=GENES[: MIN_VALUES - 1])
    assert (judge_values(few, TRAINING, NOWHERE, modality=EXPRESSION)["reason"] != "").all(), "five agree"


def test_patients_and_genes_without_values_have_no_share():
    table = normal(6, seed=1).assign(G0=np.nan, other=1.0)
    table.iloc[2] = np.nan
    found = judge_values(table, TRAINING, NOWHERE, modality=EXPRESSION)
    assert found["n_values"].tolist() == [99, 99, 0, 99, 99, 99] and np.isnan(found["share"][2])
    assert (found["reason"] == "").all()


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_what_lies_on_a_limit_is_inside(low, width):
    values = np.array([low, low + width, (low + low + width) / 2, np.nan])
    assert not beyond(values, np.full(4, low), np.full(4, low + width)).any()
    far = 1e-2 * (abs(low) + width) + 1
    assert beyond(np.array([low - far, low + width + far]), np.full(2, low), np.full(2, low + width)).all()


def simulated(cohort, folder):
    """The simulator's RNA of a cohort of the demo, as the expression stage hands it on."""
    raw = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())["cohorts"][cohort]
    patients = pd.read_csv(ROOT / raw["patients"], sep="\t", dtype=str)
    patients["positive"] = patients["label"] == POSITIVE
    write_expression(folder / "rna.tsv.gz", patients=patients, settings=Simulate.model_validate(raw["simulate"]))
    counts = pd.read_csv(folder / "rna.tsv.gz", sep="\t", index_col="gene").T.astype(float)
    return counts, patients.set_index("patient")["site"]


def test_the_demos_other_hospital_is_predicted_and_its_counts_as_log2_are_not(tmp_path):
    """It sequences half as deep, and its stain is shifted: its RNA is of the same kind all the same."""
    home, _ = simulated("demo", tmp_path)
    away, site = simulated("hospital_b", tmp_path)
    limits = limits_of(log_normalise(home, unit="counts"))
    found = judge_values(log_normalise(away, unit="counts"), limits, site, modality=EXPRESSION)
    assert (found["reason"] == "").all() and found["share"].max() < 0.15 and found["share_medians"].max() < 0.05
    raw = judge_values(away, limits, site, modality=EXPRESSION)
    assert (raw["reason"] != "").all()
