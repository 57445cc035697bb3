"""The demo's external cohort: its tables, its stain, its sequencing depth, and what it shares with the demo."""

import numpy as np
import pandas as pd
import pytest
import yaml
from running import ROOT

from histoweave.settings.cohorts import Simulate
from histoweave.simulate.expression import write_expression
from histoweave.simulate.external_tables import WITHOUT_RNA, WITHOUT_SLIDE, external_tables
from histoweave.simulate.factors import rng_for
from histoweave.simulate.scene import SITES, make_scene
from histoweave.simulate.slide import _stain_vectors, render

DEMO = ROOT / "config" / "demo"


@pytest.mark.parametrize("which, name", [(0, "hospital_b_patients.tsv"), (1, "hospital_b_slides.tsv")])
def test_the_committed_tables_are_those_of_the_code(which, name):
    table = external_tables()[which]
    assert (DEMO / name).read_text(encoding="utf-8") == table.to_csv(sep="\t", index=False, lineterminator="\n")


def test_it_holds_patients_of_one_modality_and_shares_the_seed():
    patients, slides = external_tables()
    config = yaml.safe_load((DEMO / "config.yaml").read_text())["cohorts"]
    settings = config["hospital_b"]["simulate"]
    assert settings["seed"] == config["demo"]["simulate"]["seed"] and settings["without_rna"] == list(WITHOUT_RNA)
    assert set(patients["patient"]) - set(slides["patient"]) == set(WITHOUT_SLIDE) and slides["patient"].is_unique
    assert not set(WITHOUT_RNA) & set(WITHOUT_SLIDE) and set(patients["site"]).isdisjoint(["ZA", "ZB", "ZC", "ZD"])


def test_stains_go_from_macenkos_to_ruifroks_at_unit_length():
    np.testing.assert_allclose(_stain_vectors(0.0)[1], (0.2159, 0.8012, 0.5581))
    for stain in (0.3, 1.0):
        np.testing.assert_allclose(np.linalg.norm(_stain_vectors(stain), axis=1), 1)
    np.testing.assert_allclose(_stain_vectors(1.0)[0], (0.650, 0.704, 0.286), atol=2e-3)
    scene = make_scene(slide="s", patient="p", site="north", image_factor=True, empty=False, planted_share=0.35,
                       field_um=420.0, seed=3)  # fmt: skip
    images = [render(scene, site=SITES["north"], grain=rng_for(3, "g"), stain=s).astype(float) for s in (0.0, 0.35)]
    change = (images[1] - images[0]).mean(axis=(0, 1))
    assert change[2] > 2 and np.abs(change[1]) < change[2], "less blue absorbed"


def test_plain_ids_have_one_sample_each_at_another_depth(tmp_path):
    patients = pd.DataFrame({"patient": ["HB-N01", "HB-N02"], "positive": [True, False], "site": "north"})
    matrices = {}
    for scale in (1.0, 0.5):
        path = tmp_path / f"{scale}.tsv.gz"
        write_expression(path, patients=patients, settings=Simulate(seed=6, library_scale=scale))
        matrices[scale] = pd.read_csv(path, sep="\t", index_col="gene")
    assert list(matrices[1.0]) == ["HB-N01", "HB-N02"]
    np.testing.assert_allclose(matrices[0.5].sum() / matrices[1.0].sum(), 0.5, rtol=0.02)
