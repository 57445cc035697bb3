"""The demo's cells for programs and archives, and its figures as files."""

import html
import re
import warnings
import zipfile
from xml.etree import ElementTree

import pytest
from rocrate.rocrate import ROCrate
from running import snakemake

from histoweave.pages.report.figures import FILES
from histoweave.storage.files import read_json, read_table, sha256_of


@pytest.mark.parametrize("cohort", ["lab_a", "lab_b"])
def test_a_cohort_of_cells_has_a_crate_of_its_own(demo, cohort):
    results = demo / "results" / cohort
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(results)
    hashes = {entity.id: entity["sha256"] for entity in crate.data_entities if "sha256" in entity}
    local = {name: sha256 for name, sha256 in hashes.items() if not name.startswith("ni:")}
    assert {"concepts.json", "sae/cells/images.parquet"} <= set(local)
    assert all(sha256_of(results / name) == sha256 for name, sha256 in local.items())
    assert sha256_of(demo / f"config/demo/{cohort}_cells.tsv") in hashes.values()
    assert str(demo) not in (results / "ro-crate-metadata.json").read_text(), "no path of this machine"


def test_concepts_for_programs_say_what_the_page_says(demo):
    content = read_json(demo / "results/lab_a/concepts.json")
    page = html.unescape((demo / "results/lab_a/concepts.html").read_text())
    (found,) = content["dictionaries"]
    assert found["findings"] and all(sentence in page for sentence in found["findings"])
    metrics = read_table(demo / "results/lab_a/sae/cells/scores/metrics.parquet")
    assert len(found["metrics"]) == len(metrics) and {"embedding", "random"} <= set(metrics["representation"])
    assert all(row["null"] < row["weighted_mean"] for row in found["stability"])
    assert [each["cohort"] for each in found["cohorts"]] == ["lab_a", "lab_b"]


def test_the_other_laboratory_has_the_same_numbers_in_its_own_file(demo):
    own, other = (read_json(demo / f"results/{name}/concepts.json") for name in ("lab_a", "lab_b"))
    assert other["role"] == "external" and [each["trained_on"] for each in other["dictionaries"]] == ["lab_a"]
    (there,) = other["dictionaries"][0]["cohorts"]
    here = own["dictionaries"][0]["cohorts"][1]
    for key in ("explained_variance", "l0", "alive", "dead_share", "transfer", "shift"):
        assert there[key] == here[key], key
    assert own["dictionaries"][0]["sae_sha256"] == other["dictionaries"][0]["sae_sha256"]


@pytest.mark.parametrize("name", FILES)
def test_figures_of_explanations_and_decisions_are_files(demo, name):
    path = demo / "results/demo/figures" / f"{name}.svg"
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    drawn = "<text" in path.read_text() and len(path.read_text()) > 5000
    assert drawn == (name != "explained_concepts"), "the demo has no dictionary of tiles, and nothing else is missing"


def test_snakemakes_report_holds_every_figure(demo, tmp_path):
    out = tmp_path / "report.zip"
    snakemake("--report", out, "--configfile", "config/demo/config.yaml", directory=demo)
    with zipfile.ZipFile(out) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        text = archive.read("report/report.html").decode()
    assert {f"{name}.svg" for name in FILES} | {"concept_scores.svg", "concepts.json", "report.json"} <= names
    assert {"Explanations", "Decisions", "Concepts"} <= set(re.findall(r"\b(Explanations|Decisions|Concepts)\b", text))
