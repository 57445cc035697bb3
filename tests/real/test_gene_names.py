"""Real lists of genes: none is taken for a counter, a total or a date, and the table of PAM50 identifiers holds."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from running import SHARED, needs_shared_data

import histoweave.expression.genes
from histoweave.expression.converted import refuse_converted
from histoweave.expression.gene_rows import split_gene_rows
from histoweave.expression.genes import PAM50, current_names
from histoweave.expression.prepare import prepare_expression
from histoweave.settings.cohorts import ExpressionInput

pytestmark = needs_shared_data
TABLES = {
    "TCGA, 20,124 symbols": ("pathanalyser_tcga_counts/ER_TCGA_RNAseq.csv.gz", ",", 0),
    "TCGA, 20,530 symbols with Entrez numbers": ("tcgabiolinks_databrca/dataBRCA.csv.gz", ",", 0),
    "TCGA, 3,187 Entrez numbers": ("hipathia_brca/brca_data.csv.gz", ",", 0),
    "spatial transcriptomics, 15,706 symbols": ("her2st/C2/C2.tsv.gz", "\t", 1),
    "spatial transcriptomics, 15,842 symbols": ("her2st/C4/C4.tsv.gz", "\t", 1),
}


def names_of(table):
    file, separator, axis = TABLES[table]
    read = pd.read_csv(SHARED / file, sep=separator, index_col=0, nrows=1 if axis else None)
    return [str(name) for name in read.axes[axis]]


@pytest.mark.parametrize("table", TABLES)
def test_every_real_gene_is_a_gene(table):
    names = names_of(table)
    is_gene, reasons = split_gene_rows(names)
    assert [name for name, reason in zip(names, reasons, strict=True) if reason] == []
    assert is_gene.all() and len(names) > 3000
    refuse_converted(names, file=table, place=str)


def pam50_table():
    with (Path(histoweave.expression.genes.__file__).parent / "pam50.tsv").open(encoding="utf-8") as file:
        return pd.DataFrame(csv.DictReader(file, delimiter="\t")).set_index("symbol")


def test_the_identifiers_of_the_pam50_genes():
    """Ensembl ids against those published with the centroids, Entrez numbers against genefu's and TCGA's."""
    ours, folder = pam50_table(), SHARED / "pam50_reference"
    assert sorted(ours.index) == sorted(PAM50)
    ensembl = pd.read_csv(folder / "hoadley_pam50_annot.tsv", sep="\t", dtype=str).set_index("gene_name")["gene_id"]
    assert ours["ensembl"].sort_index().to_dict() == ensembl.sort_index().to_dict()
    genefu = pd.read_csv(folder / "genefu_pam50.centroids.map.csv", dtype=str)
    current, _ = current_names(genefu["row"])
    assert dict(zip(current, genefu["EntrezGene.ID"], strict=True)) == ours["entrez"].to_dict()
    tcga = dict(name.split("|") for name in names_of("TCGA, 20,530 symbols with Entrez numbers"))
    assert all(tcga[name] == number for name, number in ours["entrez"].items() if name in tcga)


def test_real_counts_under_versioned_ensembl_ids(tmp_path):
    """The same counts under symbols and under versioned ids of the PAM50 genes: equal values, and none is missing."""
    counts = pd.read_csv(SHARED / TABLES["TCGA, 20,124 symbols"][0], index_col=0).iloc[:, :6]
    ids = pam50_table()["ensembl"]
    old = {"CDCA1": "NUF2", "KNTC2": "NDC80", "ORC6L": "ORC6"}
    named = {gene: ids.get(old.get(gene, gene)) for gene in counts.index}
    versioned = counts.rename(
        index={gene: f"{name}.{3 + i % 20}" for i, (gene, name) in enumerate(named.items()) if name}
    )
    patients = {name.replace(".", "-") for name in counts.columns}
    made = {}
    for what, table in (("symbols", counts), ("ids", versioned)):
        table.to_csv(tmp_path / f"{what}.csv")
        source = ExpressionInput(path=str(tmp_path / f"{what}.csv"), unit="counts")
        made[what] = prepare_expression(source, patients=patients, tcga=True)
        assert made[what]["report"]["pam50_missing"] == []
    assert made["ids"]["report"]["n_versions_removed"] == 50
    symbols, by_id = (made[what]["expression"].set_index("patient") for what in ("symbols", "ids"))
    for gene, name in ids.items():
        assert symbols[gene].equals(by_id[name].rename(gene)), gene
