"""The concepts for programs: complete, plain, the same each time, and what the page says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml
from concept_report_data import add_review, write_concept_run
from running import ROOT

from histoweave.pages.concepts import wording
from histoweave.pages.concepts.as_json import CONCEPT_COLUMNS, MOST_CONCEPTS, SCORES, TRANSFER, write_concepts_json
from histoweave.pages.concepts.cards import ranked
from histoweave.pages.concepts.inputs import read_tables
from histoweave.settings.config import parse_config
from histoweave.storage.files import read_table
from histoweave.wiring.cells import CellWiring, check_cells
from histoweave.wiring.concepts import ConceptsWiring

KEYS = {
    "schema", "schema_version", "cohort", "role", "source", "pseudonyms", "images", "dictionaries", "config", "versions",
    "code", "inputs_sha256",
}  # fmt: skip
OF_DICTIONARY = {"trained_on", "sae_sha256", "n_latents", "key_numbers", "findings", "cohorts", *SCORES}
OF_COHORT = {
    "cohort", "explained_variance", "l0", "alive", "dead_share", "dead_by_magnitude_share", "concepts", *TRANSFER,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_concept_run(tmp_path_factory.mktemp("run"))


def written(cohort, inputs, out):
    write_concepts_json(cohort, inputs, out)
    return json.loads(out.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def external_part(run):
    """What an external cohort's file is made of: one dictionary, without its scores."""
    return dataclasses.replace(
        run, externals=run.externals[:1], metrics=None, comparisons=None, levels=None, classes=None, probes=None,
        stability=None, stability_concepts=None,
    )  # fmt: skip


def test_a_training_cohort_says_what_its_page_says(run, tmp_path):
    content, tables = written(run.cohort, [run], tmp_path / "concepts.json"), read_tables(run)
    assert set(content) == KEYS and (content["schema"], content["schema_version"]) == ("histoweave.concepts", 1)
    assert content["role"] == "train" and content["pseudonyms"] is False
    images = read_table(run.training.images)
    assert content["images"]["given"] == len(images) and content["images"]["patients"] == images["patient"].nunique()
    (found,) = content["dictionaries"]
    assert set(found) == OF_DICTIONARY and found["findings"] == wording.findings(tables)
    for name in SCORES:
        assert len(found[name]) == len(getattr(tables, name)), name
    assert [each["cohort"] for each in found["cohorts"]] == [cohort.name for cohort in tables.cohorts]
    for each, cohort in zip(found["cohorts"], tables.cohorts, strict=True):
        assert set(each) == OF_COHORT and each["alive"] == len(cohort.alive)
        assert each["dead_share"] == pytest.approx(cohort.concepts["dead"].mean())
        assert each["explained_variance"] == pytest.approx(cohort.explained_variance)


def test_concepts_are_the_gallerys_first_ones_with_their_statistics(run, tmp_path):
    (found,) = written(run.cohort, [run], tmp_path / "concepts.json")["dictionaries"]
    tables = read_tables(run)
    expected = [int(concept) for concept in ranked(tables)[:MOST_CONCEPTS]]
    for each in found["cohorts"]:
        assert [row["concept"] for row in each["concepts"]] == expected
        assert all(set(CONCEPT_COLUMNS) | {"stability", "associations"} <= set(row) for row in each["concepts"])
    row, concept = found["cohorts"][0]["concepts"][0], tables.training.concepts.loc[expected[0]]
    assert row["firing_rate"] == concept["firing_rate"] and row["top_label"] == concept["top_label"]
    best = tables.training.associations.query("concept == @expected[0] and auroc > 0.5")
    assert row["associations"][0]["q"] == best["q"].min()
    entropies = [row["label_entropy"] for each in found["cohorts"] for row in each["concepts"]]
    assert all(value is None or value >= 0 for value in entropies)


def test_reviewed_concepts_are_named(tmp_path):
    inputs = write_concept_run(tmp_path / "run")
    add_review(inputs, {int(concept): (f"name {concept}", "accepted") for concept in ranked(read_tables(inputs))[:2]})
    (found,) = written(inputs.cohort, [inputs], tmp_path / "concepts.json")["dictionaries"]
    table = read_table(inputs.training.concepts).set_index("concept")
    names = {row["concept"]: row["name"] for row in found["cohorts"][0]["concepts"] if row["name"]}
    assert len(names) == 2 and names == {concept: table.at[concept, "name"] for concept in names}


def test_an_external_cohort_says_how_every_dictionary_fares_there(run, tmp_path):
    part = external_part(run)
    name = part.externals[0].name
    content = written(name, [part, part], tmp_path / "concepts.json")
    assert content["cohort"] == name and content["role"] == "external" and len(content["dictionaries"]) == 2
    found = content["dictionaries"][0]
    assert found["trained_on"] == run.cohort and all(found[table] is None for table in SCORES)
    (only,) = found["cohorts"]
    assert only["cohort"] == name and len(only["shift"]) == len(read_table(part.externals[0].shift))
    assert content["images"]["given"] == len(read_table(part.externals[0].images))
    assert len(found["findings"]) == 1 and name in found["findings"][0]
    assert all(np.isfinite(row["cohort_auroc"]) for row in only["concepts"] if row["cohort_auroc"] is not None)


def test_equal_tables_give_equal_bytes(run, tmp_path):
    for name in ("one", "other"):
        write_concepts_json(run.cohort, [run], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# ---------------------------------------------------------------- wiring


@pytest.fixture
def wiring(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = parse_config(yaml.safe_load((ROOT / "config/demo/config.yaml").read_text()))
    return ConceptsWiring(CellWiring(config, check_cells(config, check_paths=False), {}))


def test_every_cohort_with_concepts_has_a_file_of_its_own(wiring):
    assert wiring.targets() == ["results/lab_a/concepts.json", "results/lab_b/concepts.json"]
    assert wiring.dictionaries("lab_a") == {"lab_a": ["lab_a", "lab_b"]}
    assert wiring.dictionaries("lab_b") == {"lab_a": ["lab_a", "lab_b"]}
    of_external = wiring.inputs("lab_b")
    assert "metrics" not in of_external and "tokens" not in of_external
    assert of_external["sources"] == ["config/demo/lab_b_cells.tsv", "config/demo/lab_b_patients.tsv"]
    assert "results/lab_a/sae/cells/on/lab_b/shift.parquet" in of_external["compared"]


def test_a_run_without_cells_has_none():
    config = parse_config({"cohorts": {"a": {"patients": "p.tsv", "slides": "s.tsv"}}})
    assert ConceptsWiring(CellWiring(config, {}, {})).targets() == []
