"""What a run comes down to, on cohorts of the second simulator whose truth is known: one of each kind.

Slides are written, tiled, encoded and joined by the workflow; then models are fitted and concluded from in this process.
Cohorts of the same hidden factors share their slides and RNA and differ in the label only.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
from running import ROOT

from histoweave.evaluation.conclusion import MARGIN
from histoweave.evaluation.conclusion_wording import sentences
from histoweave.fusion import catalog
from histoweave.settings.fusion import Fusion

sys.path.insert(0, str(ROOT))
from benchmarks.family.fits import Cohort, conclusion_of, prepared
from benchmarks.family.members import Member
from benchmarks.family.patients import LABELS

pytestmark = pytest.mark.xdist_group("conclusions")
SIMPLE = ("best_gene", "logistic_expression", "logistic_image", "logistic_both")
MODELS = (*SIMPLE, "concat")
SETTINGS = Fusion.model_validate({"members": 1, "epochs": 30})
EDGE_PX = 896
PLAIN = Member("image", "sheets", n_genes=600, stain_spread=0.2)
BY_SITE = replace(PLAIN, kind="site")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Both factors are there and strong; which of them the label follows is up to the test."""
    return Cohort.read(prepared(PLAIN, tmp_path_factory.mktemp("plain"), edge_px=EDGE_PX))


@pytest.fixture(scope="module")
def by_site(tmp_path_factory):
    """Stain, depth and label depend on the site and on nothing else."""
    return Cohort.read(prepared(BY_SITE, tmp_path_factory.mktemp("by_site"), edge_px=EDGE_PX))


def concluded(cohort, kind, folder, *, others=0.0, models=SIMPLE, **how):
    """others : share of the patients who get the other label."""
    labelled = cohort.labelled(replace(PLAIN, kind=kind))
    turned = np.random.default_rng(0).permutation(len(labelled.patients)) < others * len(labelled.patients)
    other = labelled.patients["label"].map(dict(zip(LABELS, reversed(LABELS), strict=True)))
    patients = labelled.patients.assign(label=labelled.patients["label"].where(~turned, other))
    return conclusion_of(replace(labelled, patients=patients), models, settings=SETTINGS, out=folder, **how)


@pytest.mark.parametrize(("kind", "model"), [("image", "logistic_image"), ("rna", "logistic_expression")])
def test_one_modality_suffices(plain, tmp_path, kind, model):
    found, choice = concluded(plain, kind, tmp_path)
    assert found.kind == "one_modality", choice.to_string()
    assert found.single == model or (kind == "rna" and found.single == "best_gene")
    assert found.numbers["single"].estimate > 0.85 and found.numbers["difference"].ci_low <= 0


def test_an_interaction_is_found(plain, tmp_path):
    """Neither modality tells anything by itself; the products of their components do, and with them the network."""
    found, choice = concluded(plain, "interaction", tmp_path, models=MODELS)
    assert found.kind == "fusion", choice.to_string()
    assert set(found.better) == {"logistic_both", "concat"}
    estimates = choice[choice["model_b"] == ""].set_index("model_a")["estimate"]
    assert estimates[["logistic_both", "concat"]].min() >= 0.8 and found.numbers["difference"].ci_low > 0


def test_labels_at_random(plain, tmp_path):
    found, choice = concluded(plain, "none", tmp_path, models=MODELS)
    assert found.kind in ("chance", "too_few") and not found.better, choice.to_string()


def test_an_interaction_that_is_too_weak(plain, tmp_path):
    """The label follows the interaction in two of three patients: nothing is claimed."""
    found, choice = concluded(plain, "interaction", tmp_path, others=1 / 3)
    assert found.kind in ("chance", "too_few") and not found.better, choice.to_string()


def test_a_sum_of_both_that_72_patients_do_not_settle(plain, tmp_path):
    """Both together score best, RNA alone nearly as well: a gain is neither shown nor excluded, and that is said."""
    found, choice = concluded(plain, "sum", tmp_path, models=MODELS)
    assert (found.kind, found.best) == ("one_modality", "concat"), choice.to_string()
    assert found.single in ("best_gene", "logistic_expression")
    difference = found.numbers["difference"]
    assert difference.ci_low <= 0 < difference.estimate and difference.ci_high > MARGIN
    assert "a gain of 0.05 or more is not excluded" in " ".join(
        sentences(found, [catalog.get(name) for name in MODELS])
    )


def test_the_site_alone_with_folds_over_patients(by_site, tmp_path):
    found, choice = concluded(by_site, "site", tmp_path)
    assert found.better, choice.to_string()
    assert (found.kind, found.column) == ("site", "site"), choice.to_string()
    assert not any(found.stands(model) for model in SIMPLE)


def test_the_site_alone_with_folds_over_sites(by_site, tmp_path):
    found, choice = concluded(by_site, "site", tmp_path, group_by="site")
    assert found.kind in ("chance", "too_few") and not found.better, choice.to_string()
