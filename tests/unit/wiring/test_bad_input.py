"""What bad input gets: one line that names file, row or key, what is wrong and how to mend it, before any job runs."""

import copy
import os

import numpy as np
import pandas as pd
import pytest

from histoweave.errors import InputError
from histoweave.wiring import tissue as wiring
from histoweave.wiring.cells import check_cells
from histoweave.wiring.run import load
from histoweave.wiring.validation import check_training

N = 12


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """A small valid cohort in the working directory; returns its raw configuration."""
    monkeypatch.chdir(tmp_path)
    ids = [f"p{i:02d}" for i in range(N)]
    pd.DataFrame(
        {"patient": ids, "label": ["a", "b"] * (N // 2), "site": ["s1", "s2", "s3"] * (N // 3), "age": range(N)}
    ).to_csv("patients.tsv", sep="\t", index=False)
    for name in ids:
        (tmp_path / f"{name}.tiff").write_bytes(b"not looked into here")
    pd.DataFrame({"slide": ids, "patient": ids, "path": [f"{i}.tiff" for i in ids], "mpp": ""}).to_csv(
        "slides.tsv", sep="\t", index=False
    )
    counts = np.random.default_rng(0).poisson(20, (5, N))
    pd.DataFrame(counts, index=[f"G{i}" for i in range(5)], columns=ids).to_csv("rna.tsv", sep="\t", index_label="gene")
    return {
        "cohorts": {
            "c": {
                "patients": "patients.tsv",
                "slides": "slides.tsv",
                "expression": {"path": "rna.tsv", "unit": "counts"},
            }
        },
        "features": {"encoder": "resnet50"},
        "folds": {"n_folds": 3},
    }


def edit(path, change, sep="\t"):
    table = pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
    change(table).to_csv(path, sep=sep, index=False)


def at(row, column, value):
    def change(table):
        table = table.astype(object)
        table.loc[row, column] = value
        return table

    return change


def set_key(config, path, value):
    *parents, last = path.split(".")
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value


TABLE_CASES = {
    "missing patient column": ("patients.tsv", lambda t: t.rename(columns={"patient": "patiend"}), ["'patient' is missing", "patiend"]),
    "missing label column": ("patients.tsv", lambda t: t.drop(columns="label"), ["column 'label' is missing"]),
    "missing path column": ("slides.tsv", lambda t: t.drop(columns="path"), ["slides.tsv", "column 'path' is missing"]),
    "duplicate patient": ("patients.tsv", at(5, "patient", "p00"), ["row 7", "'p00'", "duplicate", "row 2"]),
    "duplicate slide": ("slides.tsv", at(3, "slide", "p01"), ["row 5", "'p01'", "duplicate"]),
    "unknown patient": ("slides.tsv", at(2, "patient", "p99"), ["row 4", "unknown patient 'p99'", "patients.tsv"]),
    "one class": ("patients.tsv", lambda t: t.assign(label="a"), ["fewer than two classes"]),
    "class below folds": ("patients.tsv", lambda t: t.assign(label=["a"] * 10 + ["b"] * 2), ["class 'b' has 2", "n_folds"]),
    "id with a slash": ("patients.tsv", at(0, "patient", "a/b"), ["row 2", "'a/b'", "not a valid id"]),
    "id with a space": ("slides.tsv", at(0, "slide", "a b"), ["row 2", "'a b'", "not a valid id"]),
    "id that is a path": ("slides.tsv", at(0, "slide", "../x"), ["'../x'", "not a valid id"]),
    "empty id": ("patients.tsv", at(4, "patient", ""), ["row 6", "is empty"]),
    "mpp of 0": ("slides.tsv", at(1, "mpp", "0"), ["row 3", "mpp '0'", "0.25"]),
    "mpp of 50": ("slides.tsv", at(1, "mpp", "50"), ["row 3", "mpp '50'"]),
    "mpp in words": ("slides.tsv", at(1, "mpp", "20x"), ["row 3", "mpp '20x'"]),
    "slide path missing": ("slides.tsv", at(6, "path", "gone.svs"), ["row 8", "'gone.svs'", "does not exist"]),
    "slide path empty": ("slides.tsv", at(6, "path", ""), ["row 8", "'path'", "empty"]),
    "reserved column": ("patients.tsv", lambda t: t.assign(included="x"), ["'included'", "rename"]),
    "non-numeric expression": ("rna.tsv", at(1, "p03", "high"), ["rna.tsv", "'high'", "'G1'", "'p03'", "not a number"]),
    "negative counts": ("rna.tsv", at(2, "p05", "-4"), ["-4", "'G2'", "'p05'", "counts"]),
    "infinite value": ("rna.tsv", at(2, "p05", "inf"), ["inf", "'G2'"]),
    "no patient in the matrix": ("rna.tsv", lambda t: t.rename(columns=lambda c: c if c == "gene" else f"x{c}"), ["is a patient of the patients table", "xp00"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE_CASES)
def test_bad_table(cohort, case):
    file, change, words = TABLE_CASES[case]
    edit(file, change)
    check_refused(cohort, words)


CONFIG_CASES = {
    "top-level typo": ("fusoin.width", 32, ["unknown key 'fusoin'", "'fusion'"]),
    "nested typo": ("tiles.target_mmp", 0.5, ["unknown key 'tiles.target_mmp'", "'target_mpp'"]),
    "typo in a cohort": ("cohorts.c.slide", "slides.tsv", ["unknown key 'cohorts.c.slide'", "'slides'"]),
    "typo in expression": ("cohorts.c.expression.units", "tpm", ["cohorts.c.expression.units", "'unit'"]),
    "unknown unit": ("cohorts.c.expression.unit", "rpkm", ["cohorts.c.expression.unit", "'rpkm'", "'fpkm'"]),
    "unknown encoder": ("features.encoder", "resnet5O", ["encoder", "'resnet5O'", "resnet50"]),
    "unknown timm encoder": ("features.encoder", "timm:resnet_18", ["resnet_18", "resnet18"]),
    "encoder weights missing": ("features.encoder", {"name": "timm:resnet18", "weights": "no.safetensors"}, ["no.safetensors"]),
    "unknown model": ("fusion.models", ["image", "crossattention"], ["'crossattention'", "cross_attention"]),
    "model without its parts": ("fusion.models", ["image", "late_mean"], ["'late_mean'", "'expression'"]),
    "model twice": ("fusion.models", ["image", "image"], ["'image' twice"]),
    "patients file missing": ("cohorts.c.patients", "gone.tsv", ["gone.tsv", "does not exist"]),
    "expression file missing": ("cohorts.c.expression.path", "gone.tsv", ["gone.tsv", "does not exist"]),
    "unknown table form": ("cohorts.c.patients", "p00.tiff", ["p00.tiff", ".tsv or .csv"]),
    "wrong label column": ("cohorts.c.label", "lable", ["'lable' is missing", "'label'"]),
    "label_map typo": ("cohorts.c.label_map", {"A": "x"}, ["label_map", "'A'"]),
    "positive is no label": ("cohorts.c.positive", "z", ["positive class 'z'", "a, b"]),
    "wrong orientation": ("cohorts.c.expression.orientation", "samples_by_genes", ["wrong way round", "genes_by_samples"]),
    "more folds than patients": ("folds.n_folds", 7, ["class 'a' has 6", "7"]),
    "more folds than sites": ("folds", {"n_folds": 4, "group_by": "site"}, ["3 sites", "4 folds"]),
    "heads do not divide width": ("fusion.heads", 7, ["fusion.heads", "64"]),
    "overlap of a whole tile": ("tiles.overlap_px", 224, ["tiles.overlap_px"]),
    "share above one": ("tiles.min_tissue", 1.5, ["tiles.min_tissue", "1.5"]),
    "text for a number": ("fusion.epochs", "many", ["fusion.epochs", "'many'"]),
    "bad cohort name": ("cohorts", {"a b": {"patients": "patients.tsv", "slides": "slides.tsv"}}, ["'a b'", "valid id"]),
    "no modality": ("cohorts", {"c": {"patients": "patients.tsv"}}, ["neither 'slides' nor 'expression'"]),
    "no cohort": ("cohorts", {}, ["cohorts"]),
    "gene sets missing": ("fusion.gene_sets", "gone.gmt", ["gone.gmt"]),
    "centroids missing": ("fusion.centroids", "gone.tsv", ["gone.tsv", "fusion.centroids", "does not exist"]),
    "centroids of other classes": ("fusion.centroids", "rna.tsv", ["rna.tsv", "'p00'", "not the classes", "'a', 'b'"]),
    "centroids for no model": ("fusion", {"centroids": "rna.tsv", "models": ["image"]}, ["fusion.centroids", "'centroid'"]),
    "neither a number nor auto": ("fusion.n_genes", "all", ["fusion.n_genes", "'all'", "at least 1, or auto"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIG_CASES)
def test_bad_config(cohort, case):
    key, value, words = CONFIG_CASES[case]
    raw = copy.deepcopy(cohort)
    set_key(raw, key, value)
    check_refused(raw, words)


CELL_CASES = {
    "external and no models for it": ("cohorts.c.role", "external", ["cohort 'c' is external", "apply.bundle"]),
    "external without train": ("cohorts.lab.role", "external", ["cohort 'lab' is external", "role: train"]),
    "neither table nor embeddings": ("cohorts.lab.cells", {"crop": 0.5}, ["cohorts.lab.cells", "either 'table' or 'embeddings'"]),
    "both table and embeddings": ("cohorts.lab.cells.embeddings", "folder", ["cohorts.lab.cells", "give one of them"]),
    "attributes of embeddings": ("cohorts.lab.cells", {"embeddings": "folder", "attributes": ["size"]}, ["embeddings made elsewhere", "'attributes'"]),
    "embeddings folder missing": ("cohorts.lab.cells", {"embeddings": "gone"}, ["'gone' is not a folder"]),
    "cells table missing": ("cohorts.lab.cells.table", "gone.tsv", ["gone.tsv", "does not exist"]),
    "attribute without a column": ("cohorts.lab.cells.attributes", ["size"], ["cells.tsv", "'size' is missing"]),
    "label_map of cells": ("cohorts.lab.cells.label_map", {"blasts": "x"}, ["cells.label_map", "'blasts'", "'blast'"]),
    "cells without patients": ("cohorts.lab.patients", "patients.tsv", ["cells.tsv", "'patient' is missing"]),
    "crop above one": ("cohorts.lab.cells.crop", 1.5, ["cohorts.lab.cells.crop", "1.5"]),
    "typo in cells": ("cohorts.lab.cells.tabel", "cells.tsv", ["cohorts.lab.cells.tabel", "'table'"]),
    "typo in sae": ("sae.expantion", 4, ["sae.expantion", "'expansion'"]),
    "unknown variant": ("sae.variant", "gated", ["sae.variant", "'gated'"]),
    "unknown preset": ("sae.preset", "cytosea", ["sae.preset", "'cytosea'"]),
    "unknown encoder of cells": ("cells.encoder", "dinoblom_b", ["'dinoblom_b'", "dinobloom_b"]),
    "weights of cells missing": ("cells.encoder", {"name": "timm:resnet18", "weights": "no.safetensors"}, ["no.safetensors"]),
    "review missing": ("concepts.review", "gone.csv", ["concepts.review 'gone.csv'", "does not exist"]),
    "rejected with a dictionary per fold": ("concepts.leave_out_rejected", True, ["concepts.leave_out_rejected", "sae.scoring: global"]),
}  # fmt: skip


@pytest.fixture
def laboratory(cohort, tmp_path):
    """The small cohort, and beside it one of cells."""
    (tmp_path / "pictures").mkdir()
    rows = [(f"k{i}", f"pictures/k{i}.png", "blast" if i % 2 else "lymphocyte") for i in range(6)]
    pd.DataFrame(rows, columns=["cell", "path", "label"]).to_csv("cells.tsv", sep="\t", index=False)
    cohort["cohorts"]["lab"] = {"cells": {"table": "cells.tsv"}}
    check_cells(load(cohort)[0])
    return cohort


@pytest.mark.parametrize("case", CELL_CASES)
def test_bad_cells(laboratory, case):
    key, value, words = CELL_CASES[case]
    set_key(laboratory, key, value)
    check_refused(laboratory, words)


def test_dictionaries_of_tiles_need_slides(laboratory):
    del laboratory["cohorts"]["c"]
    set_key(laboratory, "sae.source", "tiles")
    check_refused(laboratory, ["sae.source", "no cohort of role train has slides"])


def test_a_job_reads_the_tables_after_a_slide_has_vanished(cohort):
    os.remove("p03.tiff")
    check_refused(cohort, ["row 5", "'p03.tiff'", "does not exist"])
    config, tables = load(cohort, check_paths=False)
    shards = wiring.Wiring(config, tables)
    assert "p03.tiff" in {given["path"] for given in shards.shard("c", "0-of-1")}
    assert shards.simulated_index("c", "0-of-1") == []


@pytest.mark.parametrize("file", ["patients.tsv", "slides.tsv", "rna.tsv"])
def test_empty_file(cohort, file):
    open(file, "w").close()
    check_refused(cohort, [file, "empty"])


def test_header_without_rows(cohort):
    edit("patients.tsv", lambda t: t.iloc[:0])
    check_refused(cohort, ["patients.tsv", "no rows"])


def test_tabs_in_a_csv_can_be_read_in_one_way_only(cohort, tmp_path):
    (tmp_path / "patients.tsv").rename(tmp_path / "patients.csv")
    set_key(cohort, "cohorts.c.patients", "patients.csv")
    _, tables = load(cohort)
    assert len(tables["c"].patients) == N


def test_site_folds_without_sites(cohort):
    edit("patients.tsv", lambda t: t.drop(columns="site"))
    set_key(cohort, "folds.group_by", "site")
    check_refused(cohort, ["no site"])


def test_tcga_sample_barcode_as_patient(cohort):
    edit("patients.tsv", at(0, "patient", "TCGA-A2-A04R-01"))
    set_key(cohort, "cohorts.c.ids", "tcga")
    check_refused(cohort, ["row 2", "12-character"])


def test_samples_by_genes_is_found_and_accepted(cohort):
    pd.read_csv("rna.tsv", sep="\t", index_col=0).T.to_csv("rna.tsv", sep="\t", index_label="sample")
    load(cohort)
    set_key(cohort, "cohorts.c.expression.orientation", "genes_by_samples")
    check_refused(cohort, ["wrong way round", "samples_by_genes"])


def test_the_valid_cohort_passes_and_is_remembered(cohort, tmp_path):
    config, tables = load(cohort)
    assert config.folds.n_folds == 3 and tables["c"].classes == ["a", "b"]
    assert (tmp_path / ".snakemake" / "histoweave-checked.json").is_file()
    # The slow check is remembered by size and time of the file, so a changed file is checked again.
    edit("rna.tsv", at(1, "p03", "very high"))
    check_refused(cohort, ["'very high'"])


def check_refused(raw, words):
    with pytest.raises(InputError) as caught:
        config, tables = load(raw)
        check_cells(config)
        check_training(config, tables)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, f"{word!r} not in: {message}"
