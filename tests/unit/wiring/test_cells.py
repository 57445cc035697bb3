"""Which cohorts of slides a dictionary is fitted on, and which it is applied to."""

import pytest

from histoweave.settings.config import parse_config
from histoweave.wiring.cells import CellWiring

INDEXES = {name: [f"results/{name}/features/e/shards/0-of-1.json"] for name in ("home", "away", "later")} | {"rna": []}


def wiring(source="tiles", **sae):
    cohorts = {name: {"role": "external", "patients": "p.tsv", "slides": "s.tsv"} for name in ("away", "later")}
    cohorts["home"] = {"patients": "p.tsv", "slides": "s.tsv"}
    cohorts["rna"] = {"patients": "p.tsv", "expression": {"path": "x.tsv", "unit": "counts"}}
    return CellWiring(parse_config({"cohorts": cohorts, "sae": {"source": source, **sae}}), {}, INDEXES)


def test_external_cohorts_of_slides_are_targets_of_the_training_cohort():
    asked = wiring()
    assert asked.trained() == ["home"] and asked.externals() == ["away", "later"]
    assert asked.targets("home") == ["home", "away", "later"] and asked.token_files("away") == INDEXES["away"]
    assert asked.image_sources("away")["slides"] == "results/away/cohort/slides.parquet"
    assert asked.pages_by_cohort() == {"home": "results/home/concepts.html"}


def test_only_other_cohorts_are_held_against_the_dictionarys_own():
    asked = wiring()
    assert asked.fitted_on("home", "away") == INDEXES["home"] and asked.fitted_on("home", "home") == []


SHOWN = ("transfer.parquet", "transfer_classes.parquet", "shift.parquet", "shift_concepts.parquet")


def test_the_page_reads_every_external_cohort():
    inputs = wiring().page_inputs("home")
    compared = [f"results/home/sae/tiles/on/{name}/{table}" for name in ("away", "later") for table in SHOWN]
    assert inputs["compared"] == compared
    assert inputs["images"][1] == "results/away/sae/tiles/images.parquet"
    assert set(wiring().shown_config("home")["cohorts"]) == {"home", "away", "later"}


@pytest.mark.parametrize("asked", [wiring("cells")])
def test_slides_are_left_alone_where_dictionaries_are_of_cells(asked):
    assert asked.trained() == asked.externals() == asked.pages() == []
