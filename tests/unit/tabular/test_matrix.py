"""Matrices of users: names as written, values where they belong, whatever form they come in."""

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from histoweave.errors import InputError
from histoweave.expression.readers import read_expression
from histoweave.settings.cohorts import ExpressionInput
from histoweave.tabular.matrix import read_matrix

TEXT = "gene\tP1\tP2\nTP53\t1\t2\nESR1\t3.5\t\n"
VALUES = [[1, 2], [3.5, np.nan]]


def matrix(folder, content, name="m.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_matrix(path)


def expression(path, patients, **more):
    source = ExpressionInput(path=str(path), unit="counts", **more)
    return read_expression(source, patients=set(patients), tcga=False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.tsv", TEXT),
        ("m.csv", TEXT.replace("\t", ",")),
        ("m.csv", TEXT.replace("\t", ";")),
        ("m.csv.gz", gzip.compress(TEXT.replace("\t", ",").encode(), mtime=0)),
        ("m.tsv", TEXT.encode("utf-16")),
        ("m.tsv", TEXT.replace("\n", "\t\n").replace("P2\t\n", "P2\n")),  # a delimiter ends each line but the header
        ("m.tsv", TEXT.replace("\n", "\t\n")),
        ("m.tsv", TEXT.replace("gene\t", "", 1).replace("3.5\t", "3.5\tNA")),  # R's form
        ("m.tsv", TEXT.replace("gene", "", 1)),
        ("m.tsv", TEXT.replace("gene", " gene ").replace("P1", " P1").replace("TP53", "TP53 ")),
        ("m.csv", 'gene,P1,P2\n"TP53","1","2"\n"ESR1","3.5",NA\n'),
        ("m.tsv", "# a comment\n" + TEXT + "# the end\n"),
        ("m.tsv", TEXT.replace("3.5\t", "3.5\tN/A")),
        ("m.tsv", TEXT.replace("3.5\t", " 3.5 \t - ")),
        ("m.tsv", "gene\tP1\tP2\n1\tTP53\t1\t2\n2\tESR1\t3.5\tNA\n"),  # row numbers in front
    ],
)
def test_forms_that_are_read(tmp_path, name, content):
    found = matrix(tmp_path, content, name)
    assert (found.row_names, found.column_names) == (["TP53", "ESR1"], ["P1", "P2"])
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.tsv", TEXT.replace("3.5\t", "3.5"), "row 3: has 2 fields, and the header has 3"),
        ("m.tsv", TEXT + "MYC\t1\t2\t3\n", "row 4: has 4 fields"),
        ("m.csv", "gene,P1\nTP53,3,5\nESR1,1,0\n", "row 2: has 3 fields"),
        ("m.csv", "gene;P1\nTP53;3,5\n", "row 2 ('TP53'): value '3,5' of 'P1' is not a number; write a decimal point"),
        ("m.csv", 'gene,P1,P2\nTP53,"1,234",2\n', "row 2: the quoted field '1,234' holds a comma"),
        ("m.tsv", "gene\tP1\tP2\nTP53\t1\t2\nESR1\tlow\t2\n", "row 3 ('ESR1'): value 'low' of 'P1'"),
        ("m.tsv", "gene\tname\nTP53\ttumour protein\n", "holds no numbers, only words"),
        ("m.tsv", TEXT.replace("3.5", "1_000"), "value '1_000' of 'P1' is not a number"),
        ("m.tsv", TEXT.replace("3.5", "0x1F"), "'0x1F'"),
        ("m.tsv", TEXT.replace("3.5", "TRUE"), "'TRUE'"),
        ("m.tsv", TEXT.replace("3.5", "١"), "'١'"),
        ("m.tsv", "gene\nTP53\nESR1\n", "no values beside the names"),
        ("m.tsv", "#gene\tP1\tP2\nTP53\t1\t2\nESR1\t3\t4\n", "row 1: starts with '#'"),
        ("m.parquet", b"PAR1 and no more", "cannot be read as parquet"),
        ("m.parquet", b"", "is empty"),
        ("m.h5ad", b"\x89HDF\r\n\x1a\n" + bytes(90), "cannot be read as .h5ad"),
        ("m.h5ad", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("m.xlsx", b"PK", "unknown form '.xlsx'"),
    ],
)
def test_what_is_refused(tmp_path, name, content, words):
    with pytest.raises(InputError) as caught:
        matrix(tmp_path, content, name)
    assert words in str(caught.value)


def test_large_texts_are_read_like_small_ones(tmp_path):
    rng = np.random.default_rng(0)
    values = np.round(rng.gamma(0.5, 100, (9000, 3)), 4)
    values[rng.random(values.shape) < 0.01] = np.nan
    table = pd.DataFrame(values, index=[f"G{n}" for n in range(9000)], columns=["P1", "P2", "P3"])
    table.to_csv(tmp_path / "m.tsv", sep="\t")
    np.testing.assert_array_equal(read_matrix(tmp_path / "m.tsv").values, values)
    text = (tmp_path / "m.tsv").read_text().replace("G8000\t", "G8000\tone").replace("\toneone", "\tone")
    (tmp_path / "m.tsv").write_text(text)
    with pytest.raises(InputError, match=r"row 8002 .'G8000'.: value 'one"):
        read_matrix(tmp_path / "m.tsv")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("head", ["", "Unnamed: 0"])
def test_numbers_of_lines_are_no_patients(tmp_path, first, head):
    """As pandas and R write a table whose patients stand in a column, or were lost."""
    rows = [("2", "5", "6"), ("1", "7", "8")]
    text = "".join(f"{n},{','.join(row)}\n" for n, row in enumerate(rows, start=first))
    found = matrix(tmp_path, f"{head},patient,TP53,ESR1\n{text}", "m.csv")
    assert (found.row_names, found.column_names) == (["2", "1"], ["TP53", "ESR1"])
    np.testing.assert_array_equal(found.values, [[5, 6], [7, 8]])
    with pytest.raises(InputError, match="row 2: the lines are only numbered"):
        matrix(tmp_path, f"{head},MYC,TP53,ESR1\n{text}", "m.csv")
    if first and not head:
        with pytest.raises(InputError, match="row 2: the lines are only numbered"):
            matrix(tmp_path, f"MYC,TP53,ESR1\n{text}", "m.csv")


# What each of these once gave: one patient the values of another.
SWAPPED = {
    "sorted, with row numbers": ",patient,TP53,BRCA1\n2,1,10,20\n1,2,11,21\n3,3,12,22\n",
    "row numbers with a heading": "X,patient,TP53\n1,3,10\n2,2,11\n3,1,12\n",
    "German serial number": "Nr,patient,TP53\n1,3,10\n2,2,11\n3,1,12\n",
    "ids last": "TP53,BRCA1,patient\n3,20,1\n1,21,2\n2,22,3\n",
    "unlisted heading": ",Ident,TP53\n1,3,10\n3,1,11\n",
    "R's X": ",X1,X2,X3\n1,11,12,13\n2,21,22,23\n7157,5,6,7\n",
    "no header": "TP53,3,1,2\nBRCA1,5,6,7\n",
    "one stray value": "target,1,2,3\nTP53,1,2,3,\nBRCA1,4,5,6,9\n",
    "decimal commas": "Gen,1\nTP53,1,5\nBRCA1,4,5\n",
    "decimal commas of a sample": "Fall,TP53\n1,1,5\n2,4,5\n",
}


@pytest.mark.parametrize("text", SWAPPED.values(), ids=SWAPPED.keys())
def test_what_would_swap_patients_is_refused(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError):
        expression(tmp_path / "m.csv", ["1", "2", "3"])


def test_ids_that_only_the_metadata_of_a_parquet_hold(tmp_path):
    table = pd.DataFrame({"TP53": [30, 10, 20], "BRCA1": [20, 21, 22]}, index=pd.RangeIndex(1, 4, name="patient"))
    table.to_parquet(tmp_path / "m.parquet")
    assert expression(tmp_path / "m.parquet", ["1", "2", "3"]).values.loc["1"].to_dict() == {"TP53": 30, "BRCA1": 20}


def test_a_parquet_whose_text_is_no_utf_8(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.array([b"P1", b"P\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": text, "TP53": [1, 2]}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_matrix(tmp_path / "m.parquet")


def test_subsets_of_an_h5ad_whose_ids_stand_in_a_column(tmp_path):
    obs = pd.DataFrame({"patient": ["3", "2", "1", "0"]}, index=list("0123"))
    whole = anndata.AnnData(np.arange(8.0).reshape(4, 2), obs=obs, var=pd.DataFrame(index=["TP53", "BRCA1"]))
    whole[whole.obs["patient"] != "3"].copy().write_h5ad(tmp_path / "m.h5ad")
    with pytest.raises(InputError, match="obs_names are rising whole numbers"):
        expression(tmp_path / "m.h5ad", ["0", "1", "2"])


def test_symbols_beside_numbers_of_lines(tmp_path):
    for text in (
        "X,gene,P1\n1,TP53,5\n2,BRCA1,7\n",
        ",gene,P1\n7,TP53,5\n2,BRCA1,7\n",
        "Nr,P1,gene\n0,5,TP53\n0,7,BRCA1\n",
    ):
        (tmp_path / "m.csv").write_text(text)
        found = expression(tmp_path / "m.csv", ["P1"])
        assert found.values.loc["P1"].to_dict() == {"TP53": 5, "BRCA1": 7}


def test_thousands_with_points(tmp_path):
    (tmp_path / "m.csv").write_text("gene;P1;P2\nTP53;1.234;987\nBRCA1;2.345;12\n")
    with pytest.raises(InputError, match="reads as thousands"):
        read_matrix(tmp_path / "m.csv")


# ------------------------------------------------------------------ parquet


def test_names_of_a_parquet(tmp_path):
    path = tmp_path / "m.parquet"
    table = pd.DataFrame({"id": [7, 12, 3], "TP53": [1, 2, 3], "ESR1": [4.5, 5, None]})
    for made in (
        table,
        table.astype({"id": str}),
        table.astype({"id": "Int64"}),
        table.astype({"id": str}).astype({"id": "category"}),
        table.set_index("id"),
        table.astype({"id": str}).set_index("id"),
        table.astype({"id": str}).set_index(pd.Index([0, 2, 5])),  # row numbers of a filtered table
    ):
        made.to_parquet(path)
        found = read_matrix(path)
        assert (found.row_names, found.column_names) == (["7", "12", "3"], ["TP53", "ESR1"])
        np.testing.assert_array_equal(found.values, [[1, 4.5], [2, 5], [3, np.nan]])
    table.set_index("id").rename_axis(None).to_parquet(path)
    with pytest.raises(InputError, match="which of them are the names cannot be told"):
        read_matrix(path)
    for changed, words in (
        (table.astype({"id": float}), "stored as double"),
        (table.astype({"id": bool}), "stored as bool"),
        (table.astype({"id": str}).set_index("id", drop=False).rename_axis("name"), "both its index 'name'"),
        (table.assign(word=["1", "x", "2"]), "value 'x' of 'word' is not a number"),
        (table[["id"]].assign(word="x"), "holds no numbers, only words"),
        (table[["id"]], "no values beside the names"),
        (table.iloc[:0], "holds no values"),
        (table.set_index(["id", "TP53"]), "an index of several columns"),
    ):
        changed.to_parquet(path)
        with pytest.raises(InputError, match=words):
            read_matrix(path)


def test_columns_of_words(tmp_path):
    """What is about genes or patients is left out and named, anything else is refused with the column."""
    patients = ["P1", "P2"]
    text = "Geneid\tChr\tgene_name\tP1\tP2\nENSG00000141510.1\t1\tTP53\t1\t2\nENSG00000091831.2\tX\tESR1\t3\t4\n"
    (tmp_path / "m.tsv").write_text(text)
    found = expression(tmp_path / "m.tsv", patients)
    assert found.values.loc["P2"].to_dict() == {"TP53": 2, "ESR1": 4} and found.names_from == "gene_name"
    assert found.left_out == {"describes the genes": ["Chr", "gene_name"]}
    table = pd.DataFrame(
        {"patient": patients, "sex": ["f", "m"], "note": ["x", "y"], "ok": [True, False], "TP53": [1, 2]}
    )
    for path, write in (("m.parquet", pd.DataFrame.to_parquet), ("m.csv", pd.DataFrame.to_csv)):
        write(table.drop(columns=["note", "ok"]), tmp_path / path, index=False)
        found = expression(tmp_path / path, patients)
        assert found.left_out == {"describes the patients or their samples": ["sex"]} and list(found.values) == ["TP53"]
        for column in ("note", "ok"):
            write(table[["patient", column, "TP53"]], tmp_path / path, index=False)
            with pytest.raises(InputError, match=f"column '{column}' holds words"):
                expression(tmp_path / path, patients)


def test_numbers_of_a_parquet_that_are_stored_as_text(tmp_path):
    pd.DataFrame({"g": ["A", "B"], "P1": ["1.5", "NA"], "P2": [" 2", None]}).to_parquet(tmp_path / "m.parquet")
    np.testing.assert_array_equal(read_matrix(tmp_path / "m.parquet").values, [[1.5, 2], [np.nan, np.nan]])


# --------------------------------------------------------------------- h5ad


def test_names_of_an_h5ad(tmp_path):
    path = tmp_path / "m.h5ad"
    x = np.array([[1, 4], [2, 5]], dtype=np.float32)
    var = pd.DataFrame(index=["TP53", "ESR1"])

    def read(obs):
        anndata.AnnData(x, obs=obs, var=var).write_h5ad(path)
        return read_matrix(path)

    assert read(pd.DataFrame(index=["007", "12E3"])).row_names == ["007", "12E3"]
    numbered = read(pd.DataFrame({"patient": ["007", "12E3"], "age": [1, 2]}, index=["0", "1"]))
    assert numbered.row_names == ["007", "12E3"] and "row numbers" in numbered.reading.notes
    with pytest.raises(InputError, match="are only numbered"):
        read(pd.DataFrame({"age": [1, 2]}, index=["0", "1"]))
    with pytest.raises(InputError, match="could both name them"):
        read(pd.DataFrame({"patient": ["a", "b"], "sample": ["c", "d"]}, index=["0", "1"]))


# -------------------------------------------------------------- orientation


def test_both_sides_with_names_of_patients(tmp_path):
    path = tmp_path / "m.tsv"
    path.write_text("gene\t1\t2\n2\t5\t6\n7\t8\t9\n")
    with pytest.raises(InputError, match="both its rows \\(1\\) and its columns \\(2\\)"):
        expression(path, ["1", "2"])
    values = expression(path, ["1", "2"], orientation="genes_by_samples").values
    assert values.loc["1"].to_dict() == {"2": 5, "7": 8}
    assert list(expression(path, ["1", "2"], orientation="samples_by_genes").values.index) == ["2", "7"]


def test_a_patient_above_the_names(tmp_path):
    """R's form whose last column is empty: it looks like a delimiter at the end of each line."""
    (tmp_path / "m.tsv").write_text("P1\tP2\tP3\nTP53\t1\t2\t\nESR1\t3\t4\t\n")
    with pytest.raises(InputError, match="first heading 'P1' is a patient"):
        expression(tmp_path / "m.tsv", ["P1", "P2", "P3"])


@pytest.mark.parametrize("name", ["", "NA", "nan"])
def test_a_sample_without_name(tmp_path, name):
    (tmp_path / "m.tsv").write_text(f"gene\tP1\t{name}\tP2\nTP53\t1\t2\t3\n")
    with pytest.raises(InputError, match="column 2 of the values has no sample name"):
        expression(tmp_path / "m.tsv", ["P1", "P2"])
    (tmp_path / "m.tsv").write_text(f"patient\tTP53\nP1\t1\n{name}\t2\n")
    with pytest.raises(InputError, match="row 3 has no sample name"):
        expression(tmp_path / "m.tsv", ["P1", "P2"])


def test_samples_that_are_one_once_blanks_and_dots_are_gone(tmp_path):
    (tmp_path / "m.tsv").write_text("gene\tP1\t P1\nTP53\t1\t2\n")
    with pytest.raises(InputError, match="sample 'P1' appears twice"):
        expression(tmp_path / "m.tsv", ["P1"])


def test_what_was_read_is_said(tmp_path):
    (tmp_path / "m.csv").write_text("gene;P1;P2\nTP53;1;2\n")
    said = expression(tmp_path / "m.csv", ["P1"]).reading
    assert (said.rows, said.columns, said.delimiter, said.encoding) == (1, 2, "semicolon", "UTF-8")
    assert (said.orientation, said.first_id, said.last_id) == ("genes_by_samples", "P1", "P2")
