"""The stage as a whole, its sentences, and what its part of the configuration refuses."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, N_FOLDS, SETTINGS, predictions
from running import ROOT

from histoweave.decide import wording
from histoweave.decide.decide import decide
from histoweave.decide.selective import selective
from histoweave.errors import InputError
from histoweave.settings.config import parse_config
from histoweave.settings.decide import Decide
from histoweave.wiring.decide import DecideWiring
from histoweave.wiring.paths import DECIDE, LEARNING
from histoweave.wiring.tissue import Wiring
from histoweave.wiring.validation import check_inputs

MODELS = ["majority", "logistic_expression", "cross_attention"]


def fold_tables(model, *, repeats=1, signal=1.5, seed=0):
    """Tables as of `fusion/<model>/fold<k>/predictions.parquet`: 12 of the others are validation patients."""
    table = predictions(repeats=repeats, signal=signal, model_seed=MODELS.index(model), seed=seed)
    if model == "majority":
        table[["p_neg", "p_pos"]] = [1.0, 0.0]
    tables = []
    for (repeat, fold), test in table.groupby(["repeat", "fold"]):
        rest = table[(table["repeat"] == repeat) & (table["fold"] != fold)].assign(fold=fold, role="train")
        rest.iloc[::3, rest.columns.get_loc("role")] = "val"
        tables.append((model, pd.concat([test, rest], ignore_index=True)))
    return tables


def run(folds, **changes):
    patients = pd.DataFrame({"patient": [f"P{i:03d}" for i in range(48)], "site": ["x", "y", "z"] * 16})
    patients["age"] = [str(40 + i) for i in range(48)]
    return decide(
        folds, patients=patients, how_folded={"group_by": "patient"}, classes=CLASSES, modalities=["image", "expression"],
        settings=Decide(**({"subgroups": ["age"]} | changes)), evaluation=SETTINGS, seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    return run([fold for model in MODELS for fold in fold_tables(model)])


def test_every_table_of_the_rule_is_made(tables):
    assert set(tables) == set(DECIDE)
    columns = {
        "temperatures": ["model", "repeat", "fold", "temperature", "n_val", "reason"],
        "calibration": ["model", "metric", "before", "after", "difference", "ci_low", "ci_high", "n"],
        "reliability": ["model", "state", "bin", "confidence", "accuracy", "n"],
        "conformal_scores": ["model", "patient", "repeat", "fold", "y_true", "score"],
        "sets": ["model", "patient", "repeat", "level", "kind", "set", "covered"],
        "risk_coverage": ["model", "coverage", "risk", "threshold", "n"],
        "selective": ["model", "metric", "estimate", "ci_low", "ci_high", "n"],
        "subgroups": ["model", "column", "group", "metric", "estimate", "ci_low", "ci_high", "n"],
    }
    for name, expected in columns.items():
        assert list(tables[name]) == expected, name
    assert list(tables["calibrated"])[:5] == ["model", "patient", "repeat", "fold", "role"]
    assert set(tables["subgroups"]["column"]) == {"site", "age"}
    assert len(tables["temperatures"]) == len(MODELS) * N_FOLDS


def test_the_certain_model_keeps_its_probabilities_and_gets_full_sets(tables):
    own = {name: table[table["model"] == "majority"] for name, table in tables.items()}
    assert (own["temperatures"]["temperature"] == 1).all()
    assert own["temperatures"]["reason"].str.contains("exactly 0").all()
    assert set(own["sets"]["set"]) == {"neg; pos"} and own["sets"]["covered"].all()
    says = own["findings"].set_index("topic")["says"]
    assert (
        "keeps its probabilities" in says["calibration"] and "There is no range of thresholds" in says["decision_curve"]
    )


def test_labels_of_test_patients_reach_no_probability(tables):
    folds = [fold for model in MODELS for fold in fold_tables(model)]
    spoilt = []
    for model, table in folds:
        test = table["role"] == "test"
        spoilt.append((model, table.assign(y_true=table["y_true"].where(~test, "neg"))))
    with_garbage = run(spoilt)
    assert with_garbage["temperatures"].equals(tables["temperatures"])
    columns = ["model", "patient", "p_neg", "p_pos"]
    assert with_garbage["calibrated"][columns].equals(tables["calibrated"][columns])


def test_sentences_state_what_was_not_found(tables):
    says = tables["findings"]
    topics = ["calibration", "conformal", "conformal_class", "decision_curve", "selective", "subgroups"]
    assert sorted(set(says["topic"])) == topics
    assert (says.groupby(["topic", "model"]).size().unstack()["majority"] == [1, 2, 2, 1, 1, 1]).all()
    assert not says["says"].str.contains("nan").any()
    one = tables["calibration"].set_index(["model", "metric"]).loc["cross_attention"]
    own = tables["temperatures"][tables["temperatures"]["model"] == "cross_attention"]
    for interval, verdict in (((-0.2, -0.1), "improves the probabilities"), ((0.1, 0.2), "worse")):
        changed = one.assign(ci_low=interval[0], ci_high=interval[1])
        assert verdict in wording.calibration_finding(changed, own, "x")
    assert "no evidence" in wording.calibration_finding(one.assign(ci_low=-0.1, ci_high=0.1), own, "x")
    row = {"level": 0.9, "coverage": 0.7, "n": 10, "mean_set_size": 1.0, "singletons": 5, "empty": 1}
    assert "less often than stated" in wording.conformal_finding(row | {"ci_low": 0.5, "ci_high": 0.8}, "x")
    assert "more often than stated" in wording.conformal_finding(row | {"ci_low": 0.95, "ci_high": 1}, "x")


def test_intervals_of_width_zero_and_small_groups_are_no_finding():
    row = {
        "column": "site",
        "group": "x",
        "metric": "accuracy",
        "difference": 0.3,
        "ci_low": 0.1,
        "ci_high": 0.5,
        "n": 20,
    }
    assert "M: 1 of 1 differences" in wording.subgroup_finding(pd.DataFrame([row]), "m")
    for change in ({"ci_low": 0.3, "ci_high": 0.3}, {"n": 9}, {"ci_low": np.nan, "ci_high": np.nan}):
        assert wording.subgroup_finding(pd.DataFrame([row | change]), "m") == "M: too few patients to compare groups."
        said = wording.subgroup_finding(pd.DataFrame([row | change, row | {"group": "y"}]), "m")
        assert "1 of 1 differences" in said and "'y'" in said


def test_no_error_is_not_told_as_no_doubt():
    table = predictions(n=50).assign(model="m", p_pos=lambda rows: np.where(rows["y_true"] == "pos", 0.9, 0.1))
    table["p_neg"] = 1 - table["p_pos"]
    rows = selective(table, classes=CLASSES, settings=SETTINGS, seed=1).set_index("metric")
    assert (rows["ci_low"] < rows["ci_high"]).all()
    says = wording.selective_finding(rows, "x")
    # 1 − 0.025 ** (1 / 40): 40 of 50 are answered for.
    assert "its error rate is 0% [0%, 9%], compared with 0% for all patients: no evidence" in says


def test_short_stretches_of_thresholds_are_not_reported():
    at = np.arange(1, 100) / 100
    low = np.where((at > 0.2) & (at < 0.255) | (np.isclose(at, 0.5)), 0.1, -0.1)
    says = wording.decision_finding(pd.DataFrame({"threshold": at, "advantage_low": low}), "pos", "x")
    assert "0.21–0.25 (" in says and "0.50" not in says


# ---------------------------------------------------------------- configuration


def wired(changes=None, **cohort):
    raw = {
        "cohorts": {"demo": {"patients": str(ROOT / "config/demo/patients.tsv"), **cohort}},
        "decide": changes or {},
    }
    config = parse_config(raw)
    return DecideWiring(config, Wiring(config, check_inputs(config, check_paths=False)))


@pytest.fixture
def rna(tmp_path, monkeypatch):
    """A cohort's RNA that its patients have; the working directory is a fresh folder."""
    monkeypatch.chdir(tmp_path)
    ids = pd.read_csv(ROOT / "config/demo/patients.tsv", sep="\t")["patient"]
    pd.DataFrame({i: [1, 2] for i in ids}, index=["A", "B"]).to_csv("rna.tsv", sep="\t")
    return {"expression": {"path": "rna.tsv", "unit": "counts"}}


def test_the_curve_is_of_the_richest_trained_model_and_the_reference(rna):
    assert wired(**rna).learning_models("demo") == ["logistic_expression", "expression"]
    slides = {"slides": str(ROOT / "config/demo/slides.tsv")}
    both = wired(**rna, **slides)
    assert both.learning_models("demo") == ["logistic_expression", "cross_attention"]
    assert len(both.learning_parts("demo")) == len(both.learning_full("demo")) == 10
    assert both.learning_part_models("demo")[4:6] == ["logistic_expression", "cross_attention"]
    assert both.learning_full("demo")[0] == "results/demo/fusion/logistic_expression/fold0/predictions.parquet"
    chosen = wired({"learning_curve": {"models": ["image"]}}, **rna, **slides)
    assert chosen.learning_models("demo") == ["image"]
    none = wired({"learning_curve": {"models": []}}, **rna)
    assert none.learning_parts("demo") == none.learning_full("demo") == []
    assert set(none.tables("demo")) == set(DECIDE) and not any("learning" in path for path in none.targets())


def test_targets_are_the_tables_of_both_rules(rna):
    assert len(wired(**rna).targets()) == len(DECIDE) + len(LEARNING)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_curve": {"models": ["imag"]}}, "names 'imag'.*image.*not in fusion.models"),
        ({"learning_curve": {"models": ["late_mean"]}}, "late_mean.*combines other models"),
        ({"subgroups": ["sex"]}, "patients.tsv: column 'sex', which decide.subgroups names, is missing.*site, age"),
        ({"levels": [90]}, "decide.levels.0"),
        ({"learning_curve": {"shares": [1.0]}}, "decide.learning_curve.shares.0"),
        ({"level": [0.9]}, "unknown key 'decide.level'.*levels"),
    ],
)
def test_mistakes_are_one_line(rna, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        wired(changes, **rna)
    assert "\n" not in str(caught.value)
