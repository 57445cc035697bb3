"""Ensembl ids with versions, names that carry two identifiers, and what is said where identifiers do not agree."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.expression.genes import PAM50, missing_pam50
from histoweave.expression.identifiers import ENSEMBL, ENTREZ, SYMBOL, how_to_agree, is_missing, kind, kinds, plain_name
from histoweave.expression.prepare import prepare_expression
from histoweave.settings.cohorts import ExpressionInput


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("ENSG00000141510", "ENSG00000141510"),
        ("ENSG00000141510.18", "ENSG00000141510"),
        (" ensg00000141510.18 ", "ENSG00000141510"),
        ("ENSG00000002586.18_PAR_Y", "ENSG00000002586"),
        ("ENSG00000002586_PAR_Y", "ENSG00000002586"),
        ("ENSGR0000002586.13", "ENSG00000002586"),
        ("ENSMUSG00000059552.14", "ENSMUSG00000059552"),
        ("ENSG00000141510|TP53", "TP53"),
        ("ENSG00000141510.18|TP53", "TP53"),
        ("ENSG00000141510.18_TP53", "TP53"),
        ("ENSG00000169100.14_PAR_Y|SLC25A6", "SLC25A6"),
        ("TP53|ENSG00000141510.18", "TP53"),
        ("TP53_ENSG00000141510", "TP53"),
        ("HLA-A_ENSG00000206503.13", "HLA-A"),
        ("ENSG00000141510.18|", "ENSG00000141510"),
        ("ENSG00000141510.18|NA", "ENSG00000141510"),
        ("ENSG00000141510|7157", "ENSG00000141510"),
        ("ENST00000269305.9", "ENST00000269305"),
        ("TP53|7157", "TP53"),
        ("?|100130426", "ENTREZ_100130426"),
        ("|7157", "ENTREZ_7157"),
        ("|TP53", "TP53"),
        ("|", "|"),
        ("AC000099.1", "AC000099.1"),
        ("5S_rRNA", "5S_rRNA"),
        ("ENSA", "ENSA"),
    ],
)
def test_plain_names(written, plain):
    assert plain_name(written) == plain


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=400), st.text("ENSG0123456789._|PARY", max_size=400)))
def test_plain_names_are_plain(name):
    """Whatever the text: once is enough, and no blank is left around it."""
    plain = plain_name(name)
    assert plain == plain.strip() and plain_name(plain.strip()) == plain_name(plain)


def test_kinds():
    assert kinds(["ENSG00000141510", "TP53", "ENSG00000091831", "7157"]) == {ENSEMBL: 2, SYMBOL: 1, ENTREZ: 1}
    assert kind("1007_s_at") == "microarray probes" and kind("ENSMUSG00000059552") == ENSEMBL
    assert [name for name in ("NAT1", "NANOG", "NONO", "A") if is_missing(name)] == []


def prepare(tmp_path, table, unit="counts"):
    table.to_csv(tmp_path / "rna.tsv", sep="\t", index_label="gene")
    source = ExpressionInput(path=str(tmp_path / "rna.tsv"), unit=unit)
    return prepare_expression(source, patients={"P1", "P2"}, tcga=False)


PAIRS = {"ESR1": "ENSG00000091831", "ERBB2": "ENSG00000141736", "MKI67": "ENSG00000148773", "MIA": "ENSG00000261857"}


def test_pam50_genes_are_found_by_every_identifier(tmp_path):
    """37 genes under versioned ids are 37 genes, not none."""
    entrez = {"ESR1": "2099", "ERBB2": "2064", "MKI67": "4288", "MIA": "8190"}
    for names in (PAIRS, {gene: f"{name}.{7 + i}" for i, (gene, name) in enumerate(PAIRS.items())}, entrez):
        table = pd.DataFrame({"P1": [1, 2, 3, 4], "P2": [5, 6, 7, 8]}, index=list(names.values()))
        report = prepare(tmp_path, table)["report"]
        assert report["pam50_missing"] == [gene for gene in PAM50 if gene not in names]
    assert missing_pam50(PAM50) == []


def test_versions_are_removed_and_said(tmp_path):
    names = ["ENSG00000141510.18", "ENSG00000002586.20", "ENSG00000002586.20_PAR_Y", "ENSG00000091831"]
    table = pd.DataFrame({"P1": [1, 2, 3, 4], "P2": [5, 6, 7, 8]}, index=names)
    made = prepare(tmp_path, table)
    report, genes = made["report"], made["genes"].set_index("gene")
    assert list(genes.index) == ["ENSG00000002586", "ENSG00000091831", "ENSG00000141510"]
    assert genes["source_name"]["ENSG00000002586"] == "ENSG00000002586.20; ENSG00000002586.20_PAR_Y"
    assert report["n_versions_removed"] == 3 and report["identifiers"] == {ENSEMBL: 3}
    assert report["n_merged_names"] == 1 and report["merged_names"]["genes_with_different_values"] == 1
    # Logarithms cannot be added: the copy on Y is left out, and the gene keeps the values of its copy on X.
    made = prepare(tmp_path, table, unit="log2")
    assert list(made["expression"]["ENSG00000002586"]) == [2, 6]
    assert list(made["report"]["not_genes"].values()) == [["ENSG00000002586.20_PAR_Y"]]


def test_mixed_identifiers_are_counted_by_kind(tmp_path):
    table = pd.DataFrame({"P1": [1, 2], "P2": [5, 6]}, index=["ENSG00000141510.18|TP53", "ENSG00000091831.17|"])
    made = prepare(tmp_path, table)
    assert list(made["genes"]["gene"]) == ["ENSG00000091831", "TP53"]
    assert made["report"]["identifiers"] == {ENSEMBL: 1, SYMBOL: 1}


def test_advice_fits_the_identifiers():
    ways = {"ours": "the RNA table", "theirs": "the gene sets"}
    says = how_to_agree(["ENSG00000141510", "ENSG00000091831"], ["TP53"], **ways)
    assert (
        "the RNA table has Ensembl gene ids (such as ENSG00000141510), the gene sets gene symbols (such as TP53)"
        in says
    )
    assert "both have gene symbols" in how_to_agree(["TP53"], ["ESR1"], **ways)
    assert how_to_agree(["TP53"], [], **ways) == "the gene sets has no genes"
