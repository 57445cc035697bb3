"""The demo's results for programs, their provenance, and what is left of the ids when it is shared."""

import html
import json
import os
import re
import shutil
import warnings
import zipfile

import pytest
import yaml
from rocrate.rocrate import ROCrate
from running import planned, snakemake

from histoweave.storage.files import read_json, read_table, sha256_of

CONFIG = ("--configfile", "config/demo/config.yaml")
SHARED = ("report.html", "report.json", "metrics.tsv", "ro-crate-metadata.json")


def test_the_report_for_programs_says_what_the_page_says(results):
    content, page = read_json(results / "report.json"), html.unescape((results / "report.html").read_text())
    metrics = read_table(results / "metrics.parquet")
    assert len(content["metrics"]) == len(metrics) and content["schema_version"] == 2
    assert all(finding in page for finding in content["findings"]) and content["findings"]
    assert content["patients"]["given"] == 60 and content["slides"]["given"] == 63
    assert content["inputs_sha256"]["config/demo/patients.tsv"]


def test_the_crate_names_inputs_and_results_by_their_hash(demo, results):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(results)
    hashes = {entity.id: entity["sha256"] for entity in crate.data_entities if "sha256" in entity}
    local = {name: sha256 for name, sha256 in hashes.items() if not name.startswith("ni:")}
    assert {"metrics.parquet", "report.json", "fusion/cross_attention/fold0/model.safetensors"} <= set(local)
    assert all(sha256_of(results / name) == sha256 for name, sha256 in local.items())
    assert sha256_of(demo / "config/demo/patients.tsv") in hashes.values()
    assert str(demo) not in (results / "ro-crate-metadata.json").read_text(), "no path of this machine"


@pytest.fixture(scope="module")
def shared(demo, tmp_path_factory):
    """A copy of the demo that was asked for pseudonyms, what was planned for them, and what happens without a key."""
    folder = tmp_path_factory.mktemp("shared") / "demo"
    shutil.copytree(demo, folder)
    raw = yaml.safe_load((folder / "config/demo/config.yaml").read_text())
    raw["privacy"] = {"pseudonyms": True, "columns": ["site", "age"]}
    (folder / "private.yaml").write_text(yaml.safe_dump(raw))
    config = ("--configfile", "private.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HISTOWEAVE_PSEUDONYM_KEY", raising=False)
        without = snakemake("--cores", 1, *config, directory=folder, check=False)
        patch.setenv("HISTOWEAVE_PSEUDONYM_KEY", "the demo's key, kept by nobody")
        jobs = planned(snakemake("-n", *config, directory=folder))
        snakemake("--cores", os.cpu_count(), *config, directory=folder)
        again = planned(snakemake("-n", *config, directory=folder))
    return folder, without, jobs, again


def test_a_run_without_its_key_ends_before_any_job(shared):
    _, without, _, _ = shared
    lines = [line for line in without.stderr.splitlines() if "HISTOWEAVE_PSEUDONYM_KEY" in line]
    assert without.returncode == 1 and len(lines) == 1 and lines[0].startswith("error: ")
    assert "Job stats" not in without.stdout + without.stderr


def test_pseudonyms_make_shared_artefacts_anew_and_nothing_else(shared):
    _, _, jobs, again = shared
    assert (
        set(jobs) <= {"report", "provenance", "concept_report", "concepts_json", "applied_report"}
        and jobs["report"] >= 1
    )
    assert again == {}


def test_no_shared_artefact_of_the_demo_names_a_patient_a_slide_or_a_cell(shared):
    folder, *_ = shared
    results = folder / "results" / "demo"
    ids = {
        *read_table(results / "cohort/patients.parquet")["patient"],
        *read_table(results / "cohort/slides.parquet")["slide"],
    }
    files = [*(results / name for name in SHARED), *sorted((results / "figures").iterdir())]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not [identifier for identifier in ids if identifier in text or identifier.lower() in text], path
    page = (results / "report.html").read_text()
    assert len(set(re.findall(r"\bS-[A-Z2-7]{10}\b", page))) == 63 and json.loads((results / "report.json").read_text())
    cells = {
        identifier
        for name in ("lab_a", "lab_b")
        for column in ("image", "patient")
        for identifier in read_table(folder / f"results/{name}/sae/cells/images.parquet")[column]
    }
    # Their ids are as short as A08, which pictures and maps hold by chance.
    concepts = re.sub(r"[A-Za-z0-9+/=]{40,}", " ", (folder / "results/lab_a/concepts.html").read_text())
    words = set(re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", concepts))
    assert not cells & words and len([word for word in words if re.fullmatch(r"C-[A-Z2-7]{10}", word)]) > 100


def test_no_shared_artefact_of_the_demo_names_a_site_or_a_hidden_covariate(shared):
    folder, *_ = shared
    results = folder / "results"
    files = [*(results / "demo" / name for name in SHARED), *sorted((results / "demo/figures").iterdir())]
    # All but settings.json, which stays in the house.
    files += [results / f"hospital_b/applied/demo/report.{form}" for form in ("html", "json")]
    files += sorted(results.glob("lab_*/[!s]*.json"))
    sites = {
        site
        for cohort in ("demo", "hospital_b")
        for site in read_table(results / cohort / "cohort/patients.parquet")["site"]
    }
    assert {"ZA", "ZB", "north"} < sites
    ages = set(read_table(results / "demo/decide/subgroups.parquet").query("column == 'age'")["group"])
    alone = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(map(re.escape, sites | ages))})(?![A-Za-z0-9])")
    for path in files:
        text = re.sub(r"[A-Za-z0-9+/=]{40,}", " ", html.unescape(path.read_text(encoding="utf-8")))
        assert not alone.findall(text), path
    content = json.loads((results / "demo/report.json").read_text())
    groups = {(row["column"], row["group"][:4]) for row in content["decide"]["subgroups"]}
    assert groups == {("site", "site"), ("age", "age-")}
    # A bundle is made without a switch, and names neither patients nor sites at all.
    with zipfile.ZipFile(results / "demo/bundle.zip") as bundle:
        texts = {name: bundle.read(name).decode() for name in bundle.namelist() if name.endswith((".json", ".md"))}
    assert texts and not [name for name, text in texts.items() if re.search(r"\bZ[ABC]\b", text)]


def test_no_file_of_the_run_holds_the_key(shared):
    folder, *_ = shared
    for path in [folder / "private.yaml", *(folder / "results").rglob("*.log"), *(folder / "results").rglob("*.json")]:
        assert "kept by nobody" not in path.read_text(encoding="utf-8", errors="replace"), path
