"""Classes and genes of PAM50 are recognised, and others are not taken for them."""

import dataclasses

import pytest
from report_data import write_run
from report_text import text_of

from histoweave.expression.genes import PAM50
from histoweave.expression.subtypes import are_pam50_classes, are_pam50_genes, subtypes_in
from histoweave.storage.files import read_json, read_table, write_json, write_table


@pytest.mark.parametrize(
    ("label", "subtypes"),
    [
        ("LumA", {"LumA"}), ("Luminal A", {"LumA"}), ("luminal-b", {"LumB"}), ("Lum_A", {"LumA"}),
        ("BRCA_LumA", {"LumA"}), ("Luminal", {"Luminal"}), ("LumA/LumB", {"LumA", "LumB"}),
        ("Luminal A/B", {"LumA or LumB"}), ("LumAB", {"LumA or LumB"}), ("Her2", {"Her2"}),
        ("HER2-enriched", {"Her2-enriched"}), ("Her2E", {"Her2-enriched"}), ("Basal", {"Basal"}),
        ("Basal-like", {"Basal"}), ("Normal-like", {"Normal"}), ("Basal_Her2", {"Basal", "Her2"}),
        ("Basal and Her2", {"Basal", "Her2"}), ("non-Basal", {"Basal"}), ("Claudin-low", {"Claudin-low"}),
        ("HER2+", set()), ("HER2-", set()), ("HER2 positive", set()), ("Basal cell carcinoma", set()),
        ("Lumbar", set()), ("Normal tissue", set()), ("A", set()), ("", set()), ("high", set()),
    ],
)  # fmt: skip
def test_names_of_classes(label, subtypes):
    assert subtypes_in(label) == subtypes


@pytest.mark.parametrize(
    ("classes", "are"),
    [
        (["Luminal", "Basal_Her2"], True), (["LumA", "LumB", "Her2", "Basal", "Normal"], True),
        (["non-Basal", "Basal"], True), (["other", "Basal-like"], True), (["LumA", "rest"], True),
        (["Normal", "Tumour"], False), (["HER2-", "HER2+"], False), (["other", "Her2"], False),
        (["ER-", "ER+"], False), (["Squamous", "Basal"], False), (["other", "rest"], False), (["low", "high"], False),
    ],
)  # fmt: skip
def test_sets_of_classes(classes, are):
    assert are_pam50_classes(classes) == are


def test_lists_of_genes():
    assert are_pam50_genes(PAM50) and are_pam50_genes(PAM50[:45]) and are_pam50_genes([*PAM50, "ACTB", "GAPDH"])
    assert not are_pam50_genes([*PAM50, *(f"G{i}" for i in range(2000))])
    assert not are_pam50_genes(PAM50[:20]) and not are_pam50_genes([])


@pytest.mark.parametrize(
    ("classes", "genes", "notice", "lists"),
    [
        (("Luminal", "Basal_Her2"), ["ESR1", "G1"], "PAM50 labels are computed from RNA", True),
        (("low", "high"), list(PAM50), "The genes of this run are the PAM50 genes.", True),
        (("low", "high"), ["ESR1", "G1"], "If the labels of this cohort were computed from RNA", False),
    ],
)
def test_the_page_speaks_of_pam50_where_it_is_pam50(tmp_path, classes, genes, notice, lists):
    inputs = write_run(tmp_path, classes=classes, n_patients=24)
    write_json(tmp_path / "report.json", read_json(inputs.expression_report) | {"pam50_missing": ["MIA", "KRT14"]})
    table = read_table(inputs.genes).iloc[[0] * len(genes)].assign(gene=genes)
    write_table(tmp_path / "other_genes.parquet", table.reset_index(drop=True))
    inputs = dataclasses.replace(inputs, genes=tmp_path / "other_genes.parquet")
    text = text_of(inputs, tmp_path / "report.html")
    notices = (
        "PAM50 labels are computed",
        "The genes of this run are the PAM50 genes",
        "If the labels of this cohort were",
    )
    assert notice in text and sum(each in text for each in notices) == 1
    assert ("PAM50" in text) == lists
    assert ("pam50 missing" in text) == ("MIA, KRT14" in text) == lists
