"""The RO-Crate: what the profiles demand, true hashes, and equal bytes for equal runs."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import warnings

import pytest
import yaml
from report_wiring import report_of
from rocrate.rocrate import ROCrate
from running import ROOT
from stubs import COHORT, base_config, make_cohort

from histoweave.pages.crate import SNAKEFILE, CrateInputs, write_crate
from histoweave.pages.kit.versions import package_versions
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.wiring.cells import CellWiring, check_cells
from histoweave.wiring.concepts import ConceptsWiring
from histoweave.wiring.provenance import ProvenanceWiring


@pytest.fixture
def inputs(tmp_path):
    root = tmp_path / "results" / "demo"
    (root / "cohort").mkdir(parents=True)
    for name in ("metrics.parquet", "cohort/patients.parquet", "report.html"):
        (root / name).write_bytes(name.encode())
    (tmp_path / "patients of TCGA-ZA-0001.tsv").write_text("patient\tlabel\n")
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / "a.tsv").write_text("1\n")
    return CrateInputs(
        cohort="demo",
        root=root,
        sources=[str(tmp_path / "patients of TCGA-ZA-0001.tsv"), str(tmp_path / "counts")],
        results=[str(root / "metrics.parquet"), str(root / "cohort" / "patients.parquet")],
        pages=[str(root / "report.html")],
        config={
            "seed": 1, "tiles": {"target_mpp": 0.5}, "control": {"permuted_labels": True},
            "cohorts": {"demo": {"label_map": {}, "simulate": {"no_mpp": ["TCGA-ZA-0001-01Z-00-DX1"]}}},
        },
        versions=package_versions(),
        description="Results.",
        code={"tiles": "0123456789abcdef"},
    )  # fmt: skip


@pytest.fixture
def graph(inputs):
    out = inputs.root / "ro-crate-metadata.json"
    write_crate(inputs, out)
    content = json.loads(out.read_text())
    assert content["@context"] == [
        "https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context",
    ]  # fmt: skip
    found = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(found) == len(content["@graph"]), "an @id stands once"
    return found


def references(value):
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else set().union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_it_is_read_back_without_a_warning(inputs, graph):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(inputs.root)
    assert crate.mainEntity["name"] == "histoweave"
    assert {entity.id for entity in crate.data_entities} == {part["@id"] for part in graph["./"]["hasPart"]}


def test_what_the_profiles_demand(graph):
    root = graph["./"]
    for key in ("name", "description", "datePublished", "license", "hasPart", "mainEntity", "mentions", "conformsTo"):
        assert root[key], key
    profiles = {each["@id"] for each in root["conformsTo"]}
    assert {f"https://w3id.org/ro/wfrun/{kind}/0.5" for kind in ("process", "workflow")} <= profiles
    assert all(graph[each]["@type"] == "CreativeWork" for each in profiles)
    workflow = graph[root["mainEntity"]["@id"]]
    assert workflow["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert graph[workflow["programmingLanguage"]["@id"]]["name"] == "Snakemake"
    (action,) = (graph[each["@id"]] for each in root["mentions"])
    assert action["@type"] == "CreateAction" and action["instrument"] == root["mainEntity"]
    assert action["object"] and action["result"] and "agent" not in action
    inner = {each for entity in graph.values() for each in references(entity) if not each.startswith("http")}
    assert inner <= set(graph), "every local reference is described"


def test_files_are_named_by_what_they_hold(inputs, graph):
    digest = hashlib.sha256(b"patient\tlabel\n").digest()
    name = "ni:///sha-256;" + base64.urlsafe_b64encode(digest).decode().rstrip("=")  # RFC 6920
    assert graph[name]["name"] == "patients of TCGA-ZA-0001.tsv" and graph[name]["sha256"] == digest.hex()
    made = graph["metrics.parquet"]
    assert made["sha256"] == hashlib.sha256(b"metrics.parquet").hexdigest()
    assert made["encodingFormat"] == "application/vnd.apache.parquet"
    assert "sha256" not in graph["report.html"], "the page holds times, so that equal runs differ in it"
    assert graph[graph["./"]["mainEntity"]["@id"]]["sha256"] == hashlib.sha256(SNAKEFILE.read_bytes()).hexdigest()


def test_every_setting_is_among_the_objects(graph):
    settings = {entity["name"]: entity["value"] for entity in graph.values() if entity["@type"] == "PropertyValue"}
    assert settings == {
        "seed": 1, "tiles.target_mpp": 0.5, "control.permuted_labels": "true", "cohorts.demo.label_map": "{}",
        "cohorts.demo.simulate.no_mpp": '["TCGA-ZA-0001-01Z-00-DX1"]',
    }  # fmt: skip
    versions = {e["name"]: e["softwareVersion"] for e in graph.values() if e["@type"] == "SoftwareApplication"}
    assert {"histoweave": package_versions()["histoweave"], **versions} == package_versions()


def test_equal_runs_give_equal_bytes_and_others_another_run(inputs, graph):
    out = inputs.root / "ro-crate-metadata.json"
    first = out.read_bytes()
    write_crate(inputs, out)
    assert out.read_bytes() == first
    (inputs.root / "report.html").write_text("another time")
    write_crate(inputs, out)
    assert out.read_bytes() == first
    (inputs.root / "metrics.parquet").write_text("another result")
    write_crate(inputs, out)
    run = {each["@id"] for each in json.loads(first)["@graph"] if each["@id"].startswith("#run-")}
    assert run and run.isdisjoint(each["@id"] for each in json.loads(out.read_text())["@graph"])


def test_pseudonyms_stand_in_paths_and_settings(inputs):
    ids = {"patient": ["TCGA-ZA-0001"], "slide": ["TCGA-ZA-0001-01Z-00-DX1"]}
    names = Pseudonyms(b"a key of the hospital", ids)
    out = inputs.root / "ro-crate-metadata.json"
    write_crate(dataclasses.replace(inputs, pseudonyms=names), out)
    text = out.read_text()
    assert "TCGA-ZA-0001" not in text and all(given in text for given in names.mapping.values())


def test_the_rule_names_everything_that_decides_a_result(tmp_path, monkeypatch):
    make_cohort(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    report = report_of(base_config(simulated=False))
    asked = ProvenanceWiring(report, ConceptsWiring(CellWiring(report.wiring.config, {}, {})))
    assert asked.crates() == [f"results/{COHORT}/ro-crate-metadata.json"]
    files = asked.inputs(COHORT)
    assert {"patients.tsv", "slides.tsv", "expression.tsv", "weights.safetensors", "sets.gmt"} == set(files["sources"])
    results = [path.removeprefix(f"results/{COHORT}/") for path in files["results"]]
    assert {"metrics.parquet", "report.json", "folds.parquet", "fusion/image/fold1/model.safetensors"} <= set(results)
    # What tells of times differs between equal runs.
    assert not [path for path in results if "shards/" in path or path.endswith(("history.parquet", ".html"))]


def test_cohorts_of_cells_have_a_crate_of_what_lies_in_their_folder(monkeypatch):
    monkeypatch.chdir(ROOT)
    report = report_of(yaml.safe_load((ROOT / "config/demo/config.yaml").read_text()))
    config = report.wiring.config
    cells = CellWiring(config, check_cells(config, check_paths=False), {})
    asked = ProvenanceWiring(report, ConceptsWiring(cells))
    assert [path.split("/")[1] for path in asked.crates()] == ["demo", "lab_a", "lab_b"]
    for cohort in ("lab_a", "lab_b"):
        files = asked.inputs(cohort)
        assert files["sources"] == [f"config/demo/{cohort}_cells.tsv", f"config/demo/{cohort}_patients.tsv"]
        assert all(path.startswith(f"results/{cohort}/") for path in (*files["results"], *files["pages"]))
        assert f"results/{cohort}/concepts.json" in files["results"] and "patients" not in files
        assert not [path for path in files["results"] if path.endswith(("history.parquet", ".html"))]
        assert files["images"] == [f"results/{cohort}/sae/cells/images.parquet"]
        assert set(asked.shown_config(cohort)["cohorts"]) == {"lab_a", "lab_b"}
        assert "fusion" not in asked.shown_config(cohort) and "whole-slide" not in asked.description(cohort)
    assert "results/lab_a/sae/cells/fold4/sae_weights.safetensors" in asked.inputs("lab_a")["results"]
    assert "images" not in asked.inputs("demo") and "cells" not in asked.shown_config("demo")


def test_a_cohort_of_tiles_with_a_dictionary_has_both_in_one_crate(monkeypatch):
    monkeypatch.chdir(ROOT)
    raw = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())
    raw["sae"]["source"] = "tiles"
    report = report_of(raw)
    cells = CellWiring(report.wiring.config, {}, {"demo": ["results/demo/features/e/shards/0-of-1.json"]})
    asked = ProvenanceWiring(report, ConceptsWiring(cells))
    files, shown = asked.inputs("demo"), asked.shown_config("demo")
    assert {"results/demo/report.json", "results/demo/concepts.json"} <= set(files["results"])
    assert files["pages"] == ["results/demo/report.html", "results/demo/concepts.html"]
    assert files["patients"] and files["images"] and {"fusion", "concepts", "sae"} <= set(shown)
    assert shown["cohorts"]["demo"]["expression"]["unit"] == "counts" and "tiles" in asked.description("demo")
