"""What a run comes down to, on cohorts of the second simulator whose truth is known: one of each kind.

Slides are written, tiled, encoded and joined by the workflow; then models are fitted and concluded from in this process.
Cohorts of the same hidden factors share their slides and RNA and differ in the label only.
"""

import sys
from dataclasses import replace

import pytest
from running import ROOT

from histoweave.config import Fusion

sys.path.insert(0, str(ROOT))
from benchmarks.family.fits import Cohort, conclusion_of, prepared
from benchmarks.family.members import Member

pytestmark = pytest.mark.xdist_group("conclusions")
MODELS = ("logistic_expression", "logistic_image", "concat")
SETTINGS = Fusion.model_validate({"members": 1, "epochs": 40})
EDGE_PX = 896
PLAIN = Member("image", "sheets", n_genes=600, stain_spread=0.2)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("family")


@pytest.fixture(scope="module")
def plain(work):
    """Both factors are there and strong; which of them the label follows is up to the test."""
    return Cohort.read(prepared(PLAIN, work, edge_px=EDGE_PX))


@pytest.fixture(scope="module")
def by_site(work):
    """Stain, depth and label depend on the site."""
    return Cohort.read(prepared(replace(PLAIN, kind="site"), work, edge_px=EDGE_PX))


def concluded(cohort, kind, tmp_path, **how):
    cohort = cohort.labelled(replace(PLAIN, kind=kind))
    return conclusion_of(cohort, MODELS, settings=SETTINGS, out=tmp_path, **how)


@pytest.mark.parametrize(("kind", "model"), [("image", "logistic_image"), ("rna", "logistic_expression")])
def test_one_modality_suffices(plain, tmp_path, kind, model):
    found, choice = concluded(plain, kind, tmp_path)
    assert (found.kind, found.single) == ("one_modality", model), choice.to_string()
