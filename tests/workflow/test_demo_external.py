"""The demo's other hospital has another scanner: its slides say so, and so do drift, page and model card."""

import zipfile

import pytest

from histoweave.apply import reference
from histoweave.apply.read import opened
from histoweave.apply.scanners import UNSEEN
from histoweave.evaluation.groups import scanner_name
from histoweave.simulate.scene import SITES
from histoweave.storage.files import read_table


@pytest.mark.parametrize("cohort", ["demo", "hospital_b"])
def test_every_slide_that_opens_tells_its_sites_scanner(demo, cohort):
    root = demo / "results" / cohort / "cohort"
    slides, patients = (read_table(root / f"{name}.parquet") for name in ("slides", "patients"))
    opens = slides[~slides["status"].isin(["missing_file", "unreadable"])]
    sites = opens["patient"].map(patients.set_index("patient")["site"])
    assert opens["scanner_model"].tolist() == [SITES[site].scanner for site in sites]
    assert set(opens["scanner_vendor"]) == {"histoweave"} and slides["objective_power"].isna().all()


def test_the_bundle_holds_the_training_scanners_and_no_other(demo):
    with opened(demo / "results/demo/bundle.zip") as bundle:
        shares = read_table(bundle.path(reference.SCANNERS))
    assert set(shares["model"]) == {"simulated A", "simulated B"} and shares["share"].sum() == pytest.approx(1)
    with zipfile.ZipFile(demo / "results/demo/bundle.zip") as archive:
        card = archive.read("MODEL_CARD.md").decode()
    assert all(scanner_name("histoweave", model) in card for model in shares["model"]) and "simulated C" not in card


def test_drift_flags_the_other_scanner_at_every_site(demo):
    drift = read_table(demo / "results/hospital_b/applied/demo/drift.parquet")
    rows = drift[drift["feature"] == UNSEEN].set_index("site")
    assert list(rows.index) == ["all", "north", "south"] and (rows["value"] == 1).all() and rows["flagged"].all()
    assert rows["says"].str.contains("from histoweave simulated C").all()
    page = (demo / "results/hospital_b/applied/demo/report.html").read_text()
    assert "Scanners of the slides, per site" in page and rows.loc["north", "says"] in page
