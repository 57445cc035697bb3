"""Readers, the aliquot rule, gene names and normalisation against closed forms and real shapes of files."""

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from histoweave.errors import InputError
from histoweave.expression.genes import PAM50, current_names
from histoweave.expression.normalise import log_normalise, merge_genes
from histoweave.expression.prepare import prepare_expression
from histoweave.expression.readers import read_expression
from histoweave.expression.samples import choose_samples
from histoweave.settings.cohorts import ExpressionInput

PATIENTS = {"p1", "p2", "p3"}
VALUES = pd.DataFrame([[1, 2, 3], [0, 5, 7]], index=["G1", "G2"], columns=["p1", "p2", "p3"])


def source(path, unit="counts", **more):
    return ExpressionInput(path=str(path), unit=unit, **more)


@pytest.mark.parametrize("form", ["tsv", "csv", "tsv.gz", "csv.gz", "parquet", "h5ad"])
@pytest.mark.parametrize("turned", [False, True])
def test_every_form_gives_the_same_matrix(tmp_path, form, turned):
    path, table = tmp_path / f"rna.{form}", VALUES.T if turned else VALUES
    if form == "parquet":
        table.rename_axis("id").reset_index().to_parquet(path)
    elif form == "h5ad":
        anndata.AnnData(table.astype(np.float32)).write_h5ad(path)
    else:
        table.to_csv(path, sep="\t" if "tsv" in form else ",", index_label="id")
    matrix = read_expression(source(path), patients=PATIENTS, tcga=False)
    assert matrix.orientation == ("samples_by_genes" if turned else "genes_by_samples")
    np.testing.assert_array_equal(matrix.values.loc[["p1", "p2", "p3"], ["G1", "G2"]], VALUES.T)


def star_file(path, counts, zipped=False):
    """A GDC STAR-Counts file, as GDC documents it: a comment, a header, four N_ rows, then genes."""
    columns = "gene_id gene_name gene_type unstranded stranded_first stranded_second tpm_unstranded fpkm_unstranded fpkm_uq_unstranded"
    lines = ["# gene-model: GENCODE v36", "\t".join(columns.split())]
    lines += [
        "\t".join([name, "", "", "99", "9", "9", "", "", ""])
        for name in ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")
    ]
    for i, (gene, n) in enumerate(counts):
        lines.append(
            "\t".join([f"ENSG{i:011d}.1", gene, "protein_coding", str(n), "0", "0", f"{n / 2}", f"{n / 4}", "0"])
        )
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())


def test_star_counts_folder(tmp_path):
    star_file(
        tmp_path / "rna" / "uuid1" / "a.rna_seq.augmented_star_gene_counts.tsv",
        [("TP53", 10), ("ASMTL", 3), ("ASMTL", 4)],
    )
    star_file(tmp_path / "rna" / "b.tsv.gz", [("TP53", 20), ("ASMTL", 0), ("ASMTL", 0)], zipped=True)
    sheet = pd.DataFrame(
        {
            "File ID": ["u1", "u2"],
            "File Name": ["a.rna_seq.augmented_star_gene_counts.tsv", "b.tsv.gz"],
            "Sample ID": ["TCGA-A2-A04R-01A", "TCGA-A2-A0YG-01A"],
        }
    )
    sheet.to_csv(tmp_path / "sheet.tsv", sep="\t", index=False)
    patients = {"TCGA-A2-A04R", "TCGA-A2-A0YG"}
    config = source(tmp_path / "rna", sample_sheet=str(tmp_path / "sheet.tsv"))
    values = read_expression(config, patients=patients, tcga=True).values
    assert list(values.columns) == ["TP53", "ASMTL", "ASMTL"]  # symbols that repeat are added up later
    assert values.loc["TCGA-A2-A04R-01A"].groupby(level=0).sum().to_dict() == {"TP53": 10, "ASMTL": 7}
    assert "N_unmapped" not in values.columns and not any("N_" in c for c in values.columns)
    tpm = read_expression(config.model_copy(update={"unit": "tpm"}), patients=patients, tcga=True).values
    assert tpm.loc["TCGA-A2-A0YG-01A", "TP53"] == 10
    with pytest.raises(InputError, match="rsem"):
        read_expression(config.model_copy(update={"unit": "rsem"}), patients=patients, tcga=True)
    sheet.assign(**{"File Name": ["gone.tsv", "b.tsv.gz"]}).to_csv(tmp_path / "sheet.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=r"row 2: file 'gone.tsv'"):
        read_expression(config, patients=patients, tcga=True)


def test_the_aliquot_rule():
    samples = [
        "TCGA-A7-A13D-01A-13R-A12P-07", "TCGA-A7-A13D-01A-13R-A277-07", "TCGA-A7-A13D-01B-04R-A277-07",
        "TCGA-BH-A0DK-11A-13R-A089-07", "TCGA-BH-A1ES-06A-12R-A24H-07", "TCGA-BH-A1ES-01A-12R-A13Q-07",
        "TCGA-AQ-A0Y5-01B-11R-A14M-07", "TCGA-ZZ-A0Y5-01A-11R-A14M-07", "TCGA-A2-A04R",
    ]  # fmt: skip
    patients = {"TCGA-A7-A13D", "TCGA-BH-A0DK", "TCGA-BH-A1ES", "TCGA-AQ-A0Y5", "TCGA-A2-A04R"}
    table = choose_samples(samples, patients=patients, tcga=True).set_index("sample")
    assert sorted(table.index[table["kept"]]) == [
        "TCGA-A2-A04R", "TCGA-A7-A13D-01A-13R-A277-07", "TCGA-AQ-A0Y5-01B-11R-A14M-07", "TCGA-BH-A1ES-01A-12R-A13Q-07",
    ]  # fmt: skip
    reasons = table["reason"]
    assert "another aliquot" in reasons["TCGA-A7-A13D-01B-04R-A277-07"]
    assert "sample type 11" in reasons["TCGA-BH-A0DK-11A-13R-A089-07"]
    assert "sample type 06" in reasons["TCGA-BH-A1ES-06A-12R-A24H-07"]
    assert "not in the patients table" in reasons["TCGA-ZZ-A0Y5-01A-11R-A14M-07"]
    assert (reasons[table["kept"]] == "").all()


def test_gene_names():
    names, used = current_names(["CDCA1", "KNTC2|10403", "ORC6L", "?|100130426", "TP53|7157", "MKI67"])
    assert names == ["NUF2", "NDC80", "ORC6", "ENTREZ_100130426", "TP53", "MKI67"]
    assert used == {"CDCA1": "NUF2", "KNTC2": "NDC80", "ORC6L": "ORC6"}
    # The current symbol is there itself: the old one is another row and stays.
    assert current_names(["CDCA1", "NUF2"]) == (["CDCA1", "NUF2"], {})
    kinds = [f"ENSG0000000000{n}.{n}|{'lncRNA' if n == 3 else 'protein_coding'}" for n in range(1, 8)]
    assert current_names(kinds)[0] == [f"ENSG0000000000{n}" for n in range(1, 8)]
    assert len(PAM50) == len(set(PAM50)) == 50


def test_merging_genes_of_one_name():
    values = pd.DataFrame([[1.0, 2.0, 5.0], [np.nan, np.nan, 1.0]])
    pd.testing.assert_frame_equal(
        merge_genes(values, ["A", "A", "B"], unit="counts"), pd.DataFrame({"A": [3.0, np.nan], "B": [5.0, 1.0]})
    )
    assert merge_genes(values, ["A", "A", "B"], unit="log2")["A"].tolist()[0] == 1.5


def test_normalisation_closed_forms():
    values = pd.DataFrame([[1.0, 3.0, np.nan], [0.0, 0.0, 0.0]])
    cpm = log_normalise(values, unit="counts")
    np.testing.assert_allclose(cpm.iloc[0, :2], np.log2([250001, 750001]))
    assert np.isnan(cpm.iloc[0, 2]) and cpm.iloc[1].isna().all()
    np.testing.assert_allclose(log_normalise(values, unit="tpm").iloc[0, :2], [1, 2])
    np.testing.assert_allclose(log_normalise(values, unit="rsem").iloc[0, :2], [1, 2])
    np.testing.assert_allclose(log_normalise(values, unit="fpkm").iloc[0, :2], np.log2([250001, 750001]))
    pd.testing.assert_frame_equal(log_normalise(values, unit="log2"), values)


def test_normalisation_of_a_sample_ignores_the_others():
    rng = np.random.default_rng(1)
    values = pd.DataFrame(rng.poisson(30, (6, 40)).astype(float))
    alone = log_normalise(values.iloc[[2]], unit="counts")
    others = values.copy()
    others.iloc[[0, 1, 3, 4, 5]] = 1e6 * rng.random((5, 40))
    np.testing.assert_array_equal(log_normalise(others, unit="counts").iloc[2], alone.iloc[0])


def test_stage_reports_what_was_missing(tmp_path):
    table = pd.DataFrame(
        {"p1": [1, np.nan, 0, 4], "p2": [0, 0, 0, 0], "p3": [2, 3, 0, 4]}, index=["CDCA1", "TP53", "ZERO", "ESR1"]
    )
    table.to_csv(tmp_path / "rna.tsv", sep="\t")
    made = prepare_expression(source(tmp_path / "rna.tsv"), patients=PATIENTS, tcga=False)
    assert made["expression"]["patient"].tolist() == ["p1", "p3"]
    assert made["samples"].set_index("sample")["reason"]["p2"].startswith("no usable value")
    report = made["report"]
    assert report["aliases_used"] == {"CDCA1": "NUF2"} and report["n_missing_values"] == 1
    assert "NUF2" not in report["pam50_missing"] and "MKI67" in report["pam50_missing"] and report["panel_only"]
    genes = made["genes"].set_index("gene")
    assert genes.loc["ZERO", "all_zero"] and genes.loc["TP53", "n_missing"] == 1
    assert genes.loc["NUF2", "source_name"] == "CDCA1"


def test_a_sample_with_an_impossible_value_is_left_out(tmp_path):
    table = pd.DataFrame({"p1": [1.5, 2.5], "p2": [1e39, 2.0], "p3": [-3.0, 1.0]}, index=["TP53", "ESR1"])
    table.to_csv(tmp_path / "rna.tsv", sep="\t")
    made = prepare_expression(source(tmp_path / "rna.tsv", unit="log2"), patients=PATIENTS, tcga=False)
    assert made["expression"]["patient"].tolist() == ["p1", "p3"]
    assert "log2 value beyond 1000" in made["samples"].set_index("sample")["reason"]["p2"]


def test_dotted_barcodes(tmp_path):
    pd.DataFrame({"TCGA.A8.A08X": [1], "TCGA.AR.A0TY": [2]}, index=["G"]).to_csv(tmp_path / "r.csv")
    made = prepare_expression(source(tmp_path / "r.csv"), patients={"TCGA-A8-A08X", "TCGA-AR-A0TY"}, tcga=True)
    assert made["expression"]["patient"].tolist() == ["TCGA-A8-A08X", "TCGA-AR-A0TY"]
