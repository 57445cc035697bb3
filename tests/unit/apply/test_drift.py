"""How far a cohort lies from training: quiet where nothing differs, and named where something does."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from apply_data import made_home

from histoweave.apply import drift as module
from histoweave.apply.drift import COLUMNS, OUTSIDE_CONCEPTS, OUTSIDE_GENES, OUTSIDE_HALF, outside_half
from histoweave.apply.measures import (
    DISTANCE,
    LEVEL,
    N_TILES,
    RESIDUAL,
    SPACING,
    SPREAD,
    TOTAL,
    concept_measures,
    expression_measures,
    patient_means,
)
from histoweave.fusion.bags import BagStore
from histoweave.sae import format


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return made_home(tmp_path_factory)


def row(table, feature, site="all"):
    return table[(table["feature"] == feature) & (table["site"] == site)].iloc[0]


def test_patients_of_the_same_kind_are_not_flagged(home, tmp_path):
    _, others, bundle = home
    content, table = others.compare(bundle, tmp_path)
    assert list(table) == list(COLUMNS) and set(table["modality"]) == {"slides", "image", "expression", "concepts"}
    assert not table.loc[table["site"] == "all", "flagged"].any(), table[table["flagged"]].to_string()
    assert {check["status"] for check in content["checks"]} == {"ok"}
    sites = set(others.patients["site"].astype(str))
    assert set(table["site"]) == {"all", *sites}


def test_each_shift_is_named_where_it_is(home, tmp_path):
    _, others, bundle = home
    names = [column for column in others.expression if column != "patient"]
    shifted = others.expression.copy()
    shifted[names[:60]] += 6
    table = replace(others, expression=shifted).compare(bundle, tmp_path)[1]
    outside = row(table, OUTSIDE_GENES)
    assert outside["flagged"] and 0.2 < outside["value"] < 0.5 and "farthest: G" in outside["says"]
    assert row(table, LEVEL)["flagged"] and not row(table, DISTANCE)["flagged"]
    assert row(replace(others, samples=others.samples.assign(total=1e5)).compare(bundle, tmp_path)[1], TOTAL)["flagged"]
    spacing = others.slides.assign(level0_mpp=0.5, n_tiles=500)
    table = replace(others, slides=spacing).compare(bundle, tmp_path)[1]
    assert row(table, SPACING)["flagged"] and row(table, N_TILES)["flagged"]


def test_another_stain_is_seen_across_the_training_components(home, tmp_path):
    _, others, bundle = home
    slides = others.slides.copy()
    for index, path in slides["features"].items():
        copy = tmp_path / f"{index}.h5"
        copy.write_bytes(Path(path).read_bytes())
        with h5py.File(copy, "a") as file:
            file["features"][:] = file["features"][:] + 3 * np.sign(np.arange(64) % 2 - 0.5)
        slides.loc[index, "features"] = str(copy)
    table = replace(others, slides=slides).compare(bundle, tmp_path)[1]
    assert row(table, RESIDUAL)["flagged"] and row(table, OUTSIDE_CONCEPTS)["flagged"]


def test_values_of_another_platform_are_called_implausible(home, tmp_path):
    _, others, bundle = home
    names = [column for column in others.expression if column != "patient"]
    other = others.expression.copy()
    other[names] = other[names] * 3 + 20
    content, _ = replace(others, expression=other).compare(bundle, tmp_path)
    check = {check["what"]: check for check in content["checks"]}["expression values"]
    assert check["status"] == "warn" and "another platform" in check["says"]


def test_the_middle_half_is_finer_than_the_range(home, tmp_path):
    """A shift of 0.9 standard deviations moves nearly no median out of the range and most out of the middle half."""
    _, others, bundle = home
    names = [column for column in others.expression if column != "patient"]
    other = others.expression.copy()
    other[names] += 0.9 * other[names].std()
    content, table = replace(others, expression=other).compare(bundle, tmp_path)
    assert row(table, OUTSIDE_GENES)["value"] < 0.05 and row(table, OUTSIDE_HALF)["flagged"]
    assert {check["what"] for check in content["checks"] if check["status"] == "warn"} == {"expression values"}


@pytest.mark.parametrize("n", [1, 5, 15])
def test_how_often_a_median_leaves_the_middle_half(n):
    medians = np.median(np.random.default_rng(0).uniform(size=(200_000, n)), axis=1)
    assert outside_half(n) == pytest.approx(((medians < 0.25) | (medians > 0.75)).mean(), abs=0.005)


def test_totals_of_other_tables_are_not_compared(home, tmp_path):
    _, others, bundle = home
    extra = pd.DataFrame(1.0, index=others.expression.index, columns=[f"X{i}" for i in range(100)])
    more = others.expression.join(extra)
    content, table = replace(others, expression=more).compare(bundle, tmp_path)
    check = {check["what"]: check for check in content["checks"]}["sequencing depth"]
    assert check["status"] == "warn" and "300 genes here and 200 in training" in check["says"]
    assert TOTAL not in set(table["feature"])


def test_few_patients_are_shown_and_not_judged():
    limits = pd.DataFrame({"low": [0.0], "high": [1.0]}, index=["g"])
    values = pd.DataFrame({"g": np.full(9, 5.0)}, index=[f"p{i}" for i in range(9)])
    site = pd.Series(["a"] * 5 + ["b"] * 4, index=values.index)
    rows = {r["site"]: r for r in module._outside("expression", OUTSIDE_GENES, values, limits, site)}
    assert rows["a"]["flagged"] and rows["all"]["flagged"] and not rows["b"]["flagged"]
    assert rows["b"]["value"] == 1 and "there are too few patients (4)" in rows["b"]["says"]


def test_measures_are_their_definitions(home):
    training, others, _ = home
    means = patient_means(others.slides)
    bags = BagStore(others.slides)
    for patient in ("P040", "P055"):
        np.testing.assert_allclose(means.loc[patient], bags.load(patient).astype(float).mean(axis=0), rtol=1e-6)
    values = others.expression.set_index("patient")
    known = pd.DataFrame({"mean": values.mean(), "sd": values.std(ddof=0)})
    found = expression_measures(values, known, pd.Series(np.nan, index=values.index))
    z = (values - values.mean()) / values.std(ddof=0)
    np.testing.assert_allclose(found[LEVEL], z.mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(found[SPREAD], z.std(axis=1, ddof=0), rtol=1e-9)
    assert TOTAL not in found
    sae = format.load(training.dictionary)
    fired = concept_measures(others.slides, sae)
    active = sae.encode(torch.from_numpy(bags.load("P040"))) > 0
    np.testing.assert_allclose(fired.loc["P040"], active.double().mean(0).numpy())
