"""Gene symbols that a spreadsheet has turned into dates and numbers are refused by row, with the likely genes."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.errors import InputError
from histoweave.expression.converted import refuse_converted
from histoweave.expression.readers import read_expression
from histoweave.settings.cohorts import ExpressionInput


def refusal(*names):
    try:
        refuse_converted(names, file="rna.csv", place=lambda index: f"row {index + 2}")
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("written", "genes"),
    [
        ("1-Mar", "MARCHF1 (MARCH1) or MTARC1 (MARC1)"),
        ("2-Mar", "MARCHF2 (MARCH2) or MTARC2 (MARC2)"),
        ("Mar-01", "MARCHF1 (MARCH1)"),
        ("01-mar", "MARCHF1 (MARCH1)"),
        ("1-MAR", "MARCHF1 (MARCH1)"),
        ("11-Mar-23", "MARCHF11 (MARCH11)"),
        ("11-Mar-2023", "MARCHF11 (MARCH11)"),
        ("1. Mrz", "MARCHF1 (MARCH1)"),
        ("01. März", "MARCHF1 (MARCH1)"),
        ("2-Sep", "SEPTIN2 (SEPT2)"),
        ("2-Sept", "SEPTIN2 (SEPT2)"),
        ("Sep-02", "SEPTIN2 (SEPT2)"),
        ("Sep-2002", "SEPTIN2 (SEPT2)"),
        ("15-Sep", "SELENOF (SEP15)"),
        ("1-Dec", "DELEC1 (DEC1)"),
        ("1-Dez", "DELEC1 (DEC1)"),
        ("01-déc", "DELEC1 (DEC1)"),
        ("4-Oct", "POU5F1 (OCT4)"),
        ("2023-12-01", "DELEC1 (DEC1)"),
        ("2023-12-01 00:00:00", "DELEC1 (DEC1)"),
        ("2023-12-01T00:00:00", "DELEC1 (DEC1)"),
        ("2004-03-01", "MARCHF1 (MARCH1) or MTARC1 (MARC1) or MARCHF4 (MARCH4)"),
        ("01/03/2023", "MARCHF1 (MARCH1)"),
        ("3/1/23", "MARCHF1 (MARCH1)"),
        ("03/09/2023", "SEPTIN3 (SEPT3) or MARCHF9 (MARCH9)"),
        ("01.12.2023", "DELEC1 (DEC1)"),
        ("X1.Mar", "MARCHF1 (MARCH1)"),
        ("1-Mar|55016", "MARCHF1 (MARCH1)"),
        ('"1-Mar"', "MARCHF1 (MARCH1)"),
        ("4-Jul", "the symbol of a gene;"),
        ("44256", "MARCHF1 (MARCH1)"),
        ("44256.0", "MARCHF1 (MARCH1)"),
        ("42794", "MARCHF1 (MARCH1)"),  # the same day on an old Macintosh
        ("2.31E+19", "RIKEN name 231????E13Rik"),
        ("2.310009e+19", "RIKEN name 2310009E13Rik"),
        ("2,31E+19", "RIKEN name 231????E13Rik"),
    ],
)
def test_what_spreadsheets_make_of_symbols(written, genes):
    says = refusal("TP53", written, "ESR1")
    assert genes in says and says.startswith("rna.csv, row 3: gene '") and "spreadsheet" in says, says


GENES = (
    "MARCH1 MARCHF1 SEPT2 SEPTIN2 SEP15 DEC1 DELEC1 MARC1 MTARC1 OCT4 Oct-4 APR-1 NOV JUN MAY1 1/2-SBSRNA4 3.8-1 7SK "
    "5S_rRNA HLA-A RP11-34P13.7 AC000099.1 2310009E13Rik 2310009E13 1-8U 37810 55016 ENSG00000141510.18 1007_s_at "
    "ENTREZ_44256 CD3-4 H2-K1 A.1.2 NKX2-5 MAR1 Sep1 Decr1 March-1x 12-LOX TCEA1 GS1-124K5.4"
)


def test_symbols_that_only_look_like_it_pass():
    assert [name for name in GENES.split() if refusal("TP53", "ESR1", "MYC", name)] == []


def test_numbers_of_genes_are_no_days():
    assert refusal("44256", "595", "7157", "2099") == ""  # a matrix of Entrez numbers
    assert refusal("X44256", "X595", "X7157", "X2099") == ""  # the same as R writes them into a header
    assert "1 more are like it" in refusal("44256", "TP53", "MYC", "ESR1", "2-Sep")


@settings(max_examples=200, deadline=None)
@given(
    st.dates(datetime.date(1995, 1, 1), datetime.date(2030, 12, 31)),
    st.sampled_from(["%d-%b", "%b-%y", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%d-%b-%y", "%Y/%m/%d"]),
    st.sampled_from([str, str.upper, str.lower]),
)
def test_no_date_passes_for_a_gene(day, form, case):
    written = case(day.strftime(form))
    says = refusal("TP53", written, "ESR1")
    assert written in says and len(says) < 500
    if day.month == 9 and day.day <= 12 and "%d" in form:
        assert f"SEPTIN{day.day} " in says


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_taken_or_refused(names):
    says = refusal(*names)
    assert says == "" or "spreadsheet" in says


@pytest.mark.parametrize("turned", [False, True])
def test_the_reader_refuses_them_where_they_stand(tmp_path, turned):
    lines = ["gene,P1,P2", "TP53,1,2", "1-Mar,3,4", "MYC,5,6"]
    if turned:
        lines = [",".join(row) for row in zip(*(line.split(",") for line in lines), strict=True)]
    (tmp_path / "rna.csv").write_text("\n".join(lines) + "\n")
    source = ExpressionInput(path=str(tmp_path / "rna.csv"), unit="counts")
    place = "column 3" if turned else "row 3"
    with pytest.raises(InputError, match=rf"rna.csv, {place}: gene '1-Mar' is a date"):
        read_expression(source, patients={"P1", "P2"}, tcga=False)
