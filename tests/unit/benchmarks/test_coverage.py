"""The simulation of benchmarks/coverage.py in small: intervals hold the known truth, and sentences are rarely wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from running import ROOT
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

sys.path.append(str(ROOT / "benchmarks"))

import coverage_measures
from coverage_cohorts import KINDS, MAIN, draw

BENCHMARKS = Path(coverage_measures.__file__).parent


def _script(name: str):
    """`benchmarks/<name>.py` under another name, so that it does not stand in for the package `coverage`."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _script("coverage")
COVERAGE, FALSE, markdown, outcomes, rates = (
    script.COVERAGE, script.FALSE, script.markdown, script.outcomes, script.rates
)  # fmt: skip
KIND = {kind.name: kind for kind in KINDS}
# The aims less what percentile intervals of few patients are known to miss (docs/validation.md). On top comes Monte Carlo
# error at 0.1 % for each measure: with 30 cohorts a coverage below 0.73 fails, with 40 more than 0.225 of false findings.
SLACK, FALSE_SLACK, MONTE_CARLO = 0.03, 0.02, 0.001


def asked(name: str, *measures: str, cohorts: int) -> list[dict]:
    kind = dataclasses.replace(KIND[name], measures=measures)
    return rates(kind, outcomes(kind, cohorts=cohorts, seed=11))


def too_far(rows: list[dict]) -> list[str]:
    """Measures whose rate is further from the aim than slack and Monte Carlo error allow."""
    bad = []
    for row in rows:
        hits, n = round(row["rate"] * row["n"]), row["n"]
        if row["measure"].startswith("false finding"):
            wrong = hits > binom.ppf(1 - MONTE_CARLO, n, FALSE + FALSE_SLACK)
        elif row["measure"].startswith("true coverage"):
            wrong = row["high"] < 0.9 - SLACK
        else:
            wrong = hits < binom.ppf(MONTE_CARLO, n, COVERAGE - SLACK)
        if wrong or n < row["cohorts"] / 2:
            bad.append(f"{row['measure']}: {row['rate']:.3f} of {n}")
    return bad


@pytest.mark.parametrize(
    ("name", "measures", "cohorts"),
    [
        ("two classes, n 72", ("metrics", "operating", "conformal"), 30),
        ("6 sites kept whole, n 150", ("metrics", "choice"), 25),
        ("no signal, n 72", ("nothing",), 40),
        ("RNA alone carries it, n 72", ("one_modality",), 20),
        ("sites without a say, n 72", ("sites",), 12),
        ("the site alone carries it, n 72", ("null",), 8),
    ],
)
def test_intervals_hold_and_findings_are_true(name, measures, cohorts):
    assert not too_far(asked(name, *measures, cohorts=cohorts))


def test_intervals_that_are_too_narrow_are_seen(monkeypatch):
    narrow = coverage_measures.SETTINGS.model_copy(update={"confidence": 0.55})
    monkeypatch.setattr(coverage_measures, "SETTINGS", narrow)
    assert too_far(asked("two classes, n 72", "choice", cohorts=25))


@pytest.mark.parametrize(
    "name", ["two classes, n 72", "rare class (10 %), n 150", "sites shift scores, not labels, n 150"]
)
def test_closed_form_auroc(name):
    kind = KIND[name]
    huge = draw(kind, np.random.default_rng(3), n=60_000, sites=6_000 if kind.sites else None)
    assert roc_auc_score(huge.y, huge.p(MAIN)[:, 1]) == pytest.approx(kind.auroc(MAIN), abs=0.01)


def test_probabilities_are_calibrated():
    kind = KIND["three classes, n 150"]
    huge = draw(kind, np.random.default_rng(3), n=60_000)
    p = huge.p(MAIN)
    for label in range(3):
        for low in (0.1, 0.3, 0.5):
            inside = (p[:, label] >= low) & (p[:, label] < low + 0.1)
            assert (huge.y[inside] == label).mean() == pytest.approx(p[inside, label].mean(), abs=0.02)


def test_clusters_are_sites_where_folds_keep_them_whole():
    drawn = draw(KIND["6 sites kept whole, n 150"], np.random.default_rng(3))
    table = drawn.table((MAIN,))
    assert table["cluster"].nunique() == 6
    assert table.groupby("cluster")["fold"].nunique().max() == 1
    assert draw(KIND["two classes, n 40"], np.random.default_rng(3)).table((MAIN,))["cluster"].nunique() == 40


def test_same_for_any_number_of_processes():
    kind = dataclasses.replace(KIND["no signal, n 40"], measures=("nothing",))
    assert outcomes(kind, cohorts=3, seed=2, processes=2) == outcomes(kind, cohorts=3, seed=2)


def test_rates_leave_out_what_has_no_interval_and_mark_what_misses():
    kind = KIND["two classes, n 40"]
    found = [
        {"interval: auroc": float(i % 2), "false: a leak": 1.0 if i < 2 else 0.0, "interval: x": np.nan}
        for i in range(40)
    ]
    found[0]["interval: auroc"] = np.nan
    auroc, leak, nothing = rates(kind, found)
    assert (auroc["n"], auroc["cohorts"], auroc["misses"]) == (39, 40, True)
    assert auroc["rate"] == pytest.approx(20 / 39)
    assert (leak["rate"], leak["misses"]) == (0.05, False)
    text = markdown([auroc, leak, nothing])
    assert "| AUROC | **0.513 [" in text and "**, n 39 |" in text
    assert "| x | no interval |" in text
