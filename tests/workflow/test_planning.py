"""What is planned besides what Snakemake finds by itself, on a cohort of stubs: nothing runs for hours here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from dry_runs import dry_run
from running import planned, snakemake
from stubs import COHORT, CONFIG, make_cohort, pretend_done

from histoweave.storage.files import read_json, read_table
from histoweave.wiring.planning import SETTINGS

pytestmark = pytest.mark.xdist_group("planning")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planning") / "run"
    make_cohort(folder)
    pretend_done(folder)
    return folder


@pytest.fixture
def run(done, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(done, folder, symlinks=True)
    return folder


def change(folder: Path, **keys) -> None:
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(raw | keys))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("results/**/*") if path.is_file()}


def test_only_a_run_changes_results(run):
    index = next((run / "results" / COHORT / "tiles/shards").glob("*.json"))
    slide = read_json(index)[0]["slide"]
    (index.parents[1] / f"{slide}.h5").unlink()
    before = files(run)
    plain = dry_run(*CONFIG, directory=run)
    assert planned(plain)["tile_slides"] == 1 and "they will be processed again" in plain.stdout + plain.stderr
    summary = snakemake("--summary", *CONFIG, directory=run).stdout
    assert f"results/{COHORT}/tiles/shards/{index.name}" in summary and "update pending" in summary
    for arguments in (["--unlock"], ["--report", "report.zip"]):
        snakemake(*arguments, *CONFIG, directory=run, check=False)
    assert files(run) == before


def test_results_without_snakemakes_records_are_held_against_their_own(run):
    assert read_json(run / f"results/{COHORT}/{SETTINGS}")["mixed"] is False
    shutil.rmtree(run / ".snakemake")
    assert planned(dry_run(*CONFIG, directory=run)) == {}, "made with these settings"
    change(run, folds={"n_folds": 3, "group_by": "patient"})
    said = dry_run(*CONFIG, directory=run)
    jobs, text = planned(said), said.stdout + said.stderr
    assert {"folds", "fusion_fold", "report", "expression", "cohort"} <= set(jobs)
    (line,) = [line for line in text.splitlines() if line.startswith(tuple("123456789")) and f"'{COHORT}'" in line]
    assert "folds.n_folds was 2 and is 3" in line and "--touch" in line
    assert planned(dry_run(*CONFIG, directory=run)) == jobs, "a dry run vouches for nothing"
    told = snakemake("--touch", "--cores", 1, "--quiet", "all", *CONFIG, directory=run)
    page = f"Page to read: results/{COHORT}/report.html"
    assert page in told.stderr.splitlines() and page not in text
    assert not {"expression", "cohort"} & set(planned(dry_run(*CONFIG, directory=run)))


def test_results_of_two_settings_stay_suspect_until_everything_was_made(run):
    change(run, seed=5)
    snakemake("--touch", "--cores", 1, f"results/{COHORT}/folds.parquet", *CONFIG, directory=run)
    snakemake("--touch", "--cores", 1, "--until", "folds", *CONFIG, directory=run)
    record = read_json(run / f"results/{COHORT}/{SETTINGS}")
    assert record["mixed"] is True and record["settings"]["config"]["seed"] == 5
    assert planned(dry_run("prepare", *CONFIG, directory=run)) == {}, "Snakemake's own records still stand"
    shutil.rmtree(run / ".snakemake")
    said = dry_run(*CONFIG, directory=run)
    assert planned(said)["report"] == 1 and "the settings were changed in the meantime" in said.stdout + said.stderr


def test_results_that_nothing_tells_of_are_made_again(run):
    shutil.rmtree(run / ".snakemake")
    (run / f"results/{COHORT}/{SETTINGS}").write_text("[cut sho")
    said = dry_run(*CONFIG, directory=run)
    assert planned(said)["folds"] == 1 and f"there is no {SETTINGS} with their settings" in said.stdout + said.stderr


def test_a_real_run_makes_again_what_other_settings_made(tmp_path):
    """RNA alone, which is prepared in seconds."""
    ids = [f"p{n}" for n in range(6)]
    (tmp_path / "patients.tsv").write_text("patient\tlabel\n" + "".join(f"{each}\tab\n" for each in ids))
    rows = [f"GENE{n}\t" + "\t".join(str(10 * n + m) for m in range(6)) + "\n" for n in range(5)]
    (tmp_path / "rna.tsv").write_text("gene\t" + "\t".join(ids) + "\n" + "".join(rows))
    rna = {"patients": "patients.tsv", "expression": {"path": "rna.tsv", "unit": "tpm"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"cohorts": {"c": rna}}))
    snakemake("prepare", "--cores", 1, *CONFIG, directory=tmp_path)
    expression = tmp_path / "results/c/expression/expression.parquet"
    before = read_table(expression)
    shutil.rmtree(tmp_path / ".snakemake")
    again = snakemake("prepare", "--cores", 1, *CONFIG, directory=tmp_path)
    assert "Nothing to be done" in again.stdout + again.stderr

    change(tmp_path, cohorts={"c": rna | {"expression": {"path": "rna.tsv", "unit": "log2"}}})
    shutil.rmtree(tmp_path / ".snakemake")
    changed = snakemake("prepare", "--cores", 1, *CONFIG, directory=tmp_path)
    assert "cohorts.c.expression.unit was 'tpm' and is 'log2'" in changed.stderr
    after = read_table(expression)
    assert after.loc[1, "GENE1"] == 11 != before.loc[1, "GENE1"]


def refusal(*arguments, directory) -> str:
    """The one line that a dry run is refused with."""
    found = snakemake("-n", *arguments, *CONFIG, directory=directory, check=False)
    lines = [line for line in found.stderr.splitlines() if "rror" in line]
    assert found.returncode == 1 and len(lines) == 1 and lines[0].startswith("error: "), found.stderr
    assert "Job stats" not in found.stdout + found.stderr
    return lines[0]


ONLY_FOR_FITTING = [
    ({"folds": {"n_folds": 20}}, "fewer than the 20 that 20 folds need"),
    ({"apply": {"bundle": "nowhere.zip"}}, "apply.bundle 'nowhere.zip'"),
    ({"explain": {"gene_sets": "nowhere.gmt"}}, "explain.gene_sets 'nowhere.gmt'"),
]


def test_prepare_is_refused_for_nothing_that_only_fitting_needs(run):
    for keys, _ in ONLY_FOR_FITTING:
        change(run, **keys)
    assert not {"folds", "fusion_fold"} & set(planned(dry_run("prepare", *CONFIG, directory=run)))


@pytest.mark.parametrize(("keys", "words"), ONLY_FOR_FITTING)
def test_what_fitting_needs_is_refused_before_any_job(run, keys, words):
    change(run, **keys)
    assert words in refusal(directory=run)


def test_a_single_page_is_refused_too(run):
    change(run, **ONLY_FOR_FITTING[1][0])
    assert ONLY_FOR_FITTING[1][1] in refusal(f"results/{COHORT}/report.html", directory=run)
