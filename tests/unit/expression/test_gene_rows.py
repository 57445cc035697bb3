"""Which rows of a matrix are genes: counters, totals, annotation, spike-ins and nameless rows never count."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.errors import InputError
from histoweave.expression import gene_rows
from histoweave.expression.gene_rows import keep_genes, listed, split_gene_rows, without_totals
from histoweave.expression.prepare import prepare_expression
from histoweave.settings.cohorts import ExpressionInput

# As the tools write them: STAR, HTSeq (with and without underscores), featureCounts, tables that people keep.
COUNTERS = (
    "N_unmapped N_multimapping N_noFeature N_ambiguous __no_feature __ambiguous __too_low_aQual __not_aligned "
    "__alignment_not_unique no_feature alignment_not_unique X__no_feature _empty _lowaqual Assigned Unassigned_Unmapped "
    "Unassigned_MultiMapping Unassigned_NoFeatures Unassigned_Ambiguity"
)
TOTALS = ["Total", "total counts", "Sum", "SUM", "library_size", "Library size", "LibSize", "Mean", "n_genes", "Gesamt"]
ABOUT = ["Chr", "Start", "End", "Strand", "Length", "gene_name", "Gene Symbol", "gene_biotype", "Description"]
CLINIC = ["age", "Sex", "OS.time", "PAM50", "vital_status", "RIN"]
CONTROLS = ["ERCC-00002", "ERCC.00171", "SIRV101", "PhiX", "phiX174", "AFFX-BioB-5_at"]
NAMELESS = ["", "  ", "NA", "nan", "N/A", "NULL", "#N/A", "#NAME?", "-", "---", "?", "*", "."]
# Genes that look like one of those, and are none.
GENES = (
    "TP53 ERCC1 ERCC6L MAX SET REST CAT IMPACT MICE LARGE1 AGER OS9 RIN1 STAR NUF2 NAT1 SUMO1 SUMF1 MEAN1 GENE1 CHRM1 "
    "STRN ENDOU LENG1 NANOG NANS NARF NAA10 N4BP1 NULLP DESC1 SEXB SITEX TOTALX PAM50X ALIGN A1BG 7SK 1/2-SBSRNA4 HLA-A "
    "5S_rRNA AC000099.1 RP11-34P13.7 U3 ENSG00000141510.18"
)


def test_every_kind_of_row_that_is_no_gene():
    kinds = {
        gene_rows.COUNTER: COUNTERS.split(),
        gene_rows.TOTAL: TOTALS,
        gene_rows.ABOUT_GENES: ABOUT,
        gene_rows.ABOUT_PATIENTS: CLINIC,
        gene_rows.CONTROL: CONTROLS,
        gene_rows.NO_NAME: NAMELESS,
    }
    for reason, names in kinds.items():
        is_gene, reasons = split_gene_rows(names)
        assert not is_gene.any() and reasons == [reason] * len(names), names
    genes = GENES.split()
    is_gene, reasons = split_gene_rows(genes)
    assert [name for name, reason in zip(genes, reasons, strict=True) if reason] == [] and is_gene.all()


def prepare(tmp_path, table, unit="counts", **more):
    path = tmp_path / "rna.tsv"
    table.to_csv(path, sep="\t", index_label="gene")
    return prepare_expression(ExpressionInput(path=str(path), unit=unit), patients={"P1", "P2"}, tcga=False, **more)


OTHERS = st.sampled_from(COUNTERS.split() + TOTALS + CONTROLS + CLINIC)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), turned=st.booleans(), case=st.sampled_from([str, str.upper, str.lower]))
def test_they_change_nothing_in_any_order_case_and_orientation(tmp_path_factory, data, turned, case):
    """The values of the genes are those of the matrix without such rows, and each row is in the report."""
    others = data.draw(st.lists(OTHERS, min_size=1, max_size=6, unique_by=str.lower))
    genes = pd.DataFrame({"P1": [1, 20, 300], "P2": [7, 5, 3]}, index=["TP53", "MAX", "ERCC1"])
    more = pd.DataFrame({"P1": 1e6, "P2": 10.0}, index=[f" {case(name)} " for name in others])
    mixed = pd.concat([genes, more]).sample(frac=1, random_state=data.draw(st.integers(0, 99)))
    folder = tmp_path_factory.mktemp("rna")
    alone = prepare(folder, genes)
    made = prepare(folder, mixed.T if turned else mixed)
    pd.testing.assert_frame_equal(made["expression"], alone["expression"])
    assert list(made["samples"]["total"]) == [321, 15]
    left_out = [name for names in made["report"]["not_genes"].values() for name in names]
    assert sorted(left_out) == sorted(case(name) for name in others)
    assert made["report"]["n_not_genes"] == len(others)


def test_nameless_rows_are_left_out_by_their_place(tmp_path):
    table = pd.DataFrame({"P1": [1.0, 2, 3, 4], "P2": [5.0, 6, 7, 8]}, index=["TP53", "", "NA", " ESR1 "])
    made = prepare(tmp_path, table)
    assert list(made["genes"]["gene"]) == ["ESR1", "TP53"] and list(made["samples"]["total"]) == [5, 13]
    assert made["report"]["not_genes"] == {"no name": ["row 3", "row 4"]}


def test_feature_counts_and_salmon_tables(tmp_path):
    """Columns about the genes stand between the ids and the samples; symbols of such a column name the genes."""
    counts = pd.DataFrame({"P1": [5, 7], "P2": [6, 8]}, index=["ENSG00000141510.18", "ENSG00000091831"])
    about = pd.DataFrame(
        {"Chr": ["chr17;chr17", "chr6"], "Start": ["1;2", "3"], "End": ["9;9", "9"], "Strand": "+", "Length": [4, 5]},
        index=counts.index,
    )
    made = prepare(tmp_path, pd.concat([about, counts], axis=1))
    assert list(made["genes"]["gene"]) == ["ENSG00000091831", "ENSG00000141510"]
    assert made["report"]["not_genes"] == {gene_rows.ABOUT_GENES: ["Chr", "Start", "End", "Strand", "Length"]}
    assert set(made["samples"]["sample"]) == {"P1", "P2"}
    named = counts.copy()
    named.insert(0, "gene_name", ["TP53", "NA"])
    made = prepare(tmp_path, named)
    assert list(made["genes"]["gene"]) == ["ENSG00000091831", "TP53"]
    assert made["report"]["names_from"] == "gene_name"
    assert made["report"]["identifiers"] == {"Ensembl gene ids": 1, "gene symbols": 1}


def test_a_patient_who_is_called_like_a_column_stays():
    values = pd.DataFrame({"TP53": [1.0, 2.0]}, index=["Length", "Start"])
    kept = keep_genes(values, patients={"Length"}, file="f", place=str)
    assert list(kept.values.index) == ["Length"] and kept.left_out == {gene_rows.ABOUT_GENES: ["Start"]}


def test_a_matrix_without_a_gene_is_refused():
    values = pd.DataFrame({"N_unmapped": [1.0], "Total": [2.0]}, index=["p"])
    with pytest.raises(InputError, match=r"none of its 2 rows is a gene \(the first is 'N_unmapped'\)"):
        keep_genes(values, patients={"p"}, file="rna.tsv", place=str)


def test_a_total_is_known_by_its_values():
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.poisson(50, (4, 12)).astype(float), columns=[f"G{i}" for i in range(12)])
    assert without_totals(values)[1] == []
    for name, total in (("everything", values.sum(axis=1)), ("rounded", values.sum(axis=1).round(-1))):
        found, names = without_totals(values.assign(**{name: total}))
        assert names == ([name] if name == "everything" else []), name
        assert list(found.columns)[:12] == list(values.columns)
    twice = values.assign(a=values.sum(axis=1))
    twice["b"] = twice.sum(axis=1)
    assert without_totals(twice)[1] == ["b", "a"]
    # Too few samples or genes: chance could do it.
    assert without_totals(values.assign(t=values.sum(axis=1)).iloc[:2])[1] == []
    assert without_totals(pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 2, 3]}))[1] == []
    many = pd.DataFrame(rng.poisson(50, (1, 120)).astype(float)).add_prefix("G")
    assert without_totals(many)[1] == [] and without_totals(many.assign(t=many.sum(axis=1)))[1] == ["t"]
    assert without_totals(values * np.nan)[1] == [] and without_totals(values * 0)[1] == []


def test_the_report_names_a_few_and_counts_the_rest():
    short = listed({"why": [f"n{i}" for i in range(30)] + ["n0"]})
    assert short["why"][:2] == ["n0", "n1"] and short["why"][-1] == "and 10 more" and len(short["why"]) == 21


def test_repeated_genes_are_counted_and_told_apart(tmp_path):
    table = pd.DataFrame(
        {"P1": [1.0, 3, 5, 5, 9], "P2": [2.0, 4, 6, 6, 9]}, index=["TP53", "TP53", "ESR1", " ESR1", "MYC"]
    )
    made = prepare(tmp_path, table)
    assert made["report"]["n_merged_names"] == 2
    assert made["report"]["merged_names"] == {"columns": 4, "genes": 2, "genes_with_different_values": 1}
    cpm = made["expression"].set_index("patient").loc["P1"]
    np.testing.assert_allclose(cpm[["TP53", "ESR1"]].astype(float), np.log2([1 + 4e6 / 23, 1 + 10e6 / 23]))
    assert made["genes"].set_index("gene")["source_name"]["ESR1"] == "ESR1"
    json.dumps(made["report"])
