"""Folders of STAR-Counts files: every sample gets its own whole file, or one line says why not."""

import gzip
import os

import numpy as np
import pandas as pd
import pytest
from star_files import star_text

from histoweave.errors import InputError
from histoweave.expression.star import read_star_file, read_star_folder
from histoweave.settings.cohorts import ExpressionInput

A, B = "TCGA-A2-A04R-01A", "TCGA-A2-A0YG-01A"


class Folder:
    """A folder of files and its sheet."""

    def __init__(self, root):
        self.root, self.rows = root, []

    def add(self, place, sample, values=(10, 20, 30), file_id="", text=None, listed=True):
        path = self.root / "rna" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        content = (star_text(values) if text is None else text).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        if listed:
            self.rows.append((file_id, path.name, sample))
        return self

    def read(self, unit="counts", ids=True, **more):
        sheet = pd.DataFrame(self.rows, columns=["File ID", "File Name", "Sample ID"])
        sheet = sheet if ids else sheet.drop(columns="File ID")
        sheet.to_csv(self.root / "sheet.tsv", sep="\t", index=False)
        source = ExpressionInput(
            path=str(self.root / "rna"), unit=unit, sample_sheet=str(self.root / "sheet.tsv"), **more
        )
        table, self.notes = read_star_folder(self.root / "rna", source)
        return table


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_values_names_and_rows_of_no_gene(folder):
    folder.add("u1/a.tsv", A, file_id="u1").add("b.tsv.gz", B, (1, 2, 3), file_id="u2")
    table = folder.read()
    assert list(table.index)[4:] == ["TP53", "ESR1", "ENSG00000000001.1"] and table.index[0] == "N_unmapped"
    assert table[A].to_list()[4:] == [10, 20, 30] and table[B].to_list()[4:] == [1, 2, 3]
    tpm = folder.read("tpm")
    assert tpm[A].to_list()[4:] == [5, 10, 15] and np.isnan(tpm[A].iloc[0])


def test_two_files_of_one_name_are_told_apart_by_the_file_id(folder):
    folder.add("u1/counts.tsv", A, (1, 1, 1), "u1").add("u2/counts.tsv", B, (2, 2, 2), "u2")
    table = folder.read()
    assert table[A].iloc[4] == 1 and table[B].iloc[4] == 2
    with pytest.raises(InputError, match=r"row 2: two files are called 'counts.tsv': .*u1/counts.tsv and .*u2/counts"):
        folder.read(ids=False)


def test_the_file_of_another_row_is_not_taken(folder):
    folder.add("u2/counts.tsv", B, file_id="u2").rows.append(("u1", "counts.tsv", A))
    with pytest.raises(InputError, match=r"row 3: file 'counts.tsv' lies in the folder 'u2' of another row's File ID"):
        folder.read()
    with pytest.raises(InputError, match=r"row 3: file 'counts.tsv' is that of row 2 too"):
        folder.read(ids=False)


def test_links_are_followed_once_and_hidden_files_are_not_seen(folder):
    folder.add("a.tsv", A).add("more/._a.tsv", A, text="junk", listed=False)
    folder.add(".cache/a.tsv", A, (9, 9, 9), listed=False)
    elsewhere = Folder(folder.root / "elsewhere").add("b.tsv", B, (2, 2, 2))
    os.symlink(elsewhere.root / "rna", folder.root / "rna" / "link")
    os.symlink(folder.root / "rna", folder.root / "rna" / "circle")
    folder.rows.append(("", "b.tsv", B))
    table = folder.read()
    assert table[A].iloc[4] == 10 and table[B].iloc[4] == 2


def test_a_file_cut_short_is_refused(folder):
    whole = star_text((1, 2, 3))
    lines = whole.splitlines(keepends=True)
    folder.add("a.tsv", A)
    for text, message in (
        ("".join(lines[:-1]), r"b.tsv: ends after 6 of the 7 rows that .*a.tsv has: the file is cut short"),
        ("".join(lines[:-1]) + lines[-1][:20], r"b.tsv: line 9 has no end: the file is cut short"),
        ("".join(lines[:2]), r"b.tsv: has a header but no genes"),
        ("", r"b.tsv: .*is empty"),
        (lines[0], r"b.tsv: .*is empty"),
        ("".join(lines[:6] + lines[7:]), r"b.tsv: does not hold the genes of .*a.tsv: 6 rows against 7, and 'ENSG000000918"),
        (whole.replace("\tprotein_coding", "", 1), r"b.tsv: line 7 has 8 fields and the header has 9"),
        (whole.replace("\t2\t", "\t2O\t", 1), r"b.tsv: line 8: '2O' of 'ENSG00000091831.24' in column unstranded is not a n"),
        (whole.replace("\t2\t", "\t\t", 1), r"b.tsv: line 8: '' of 'ENSG00000091831.24'"),
        (whole.replace("unstranded", "other"), r"b.tsv: is not a STAR-Counts file: column 'unstranded' is missing"),
    ):  # fmt: skip
        folder.add("b.tsv", B, text=text, listed=len(folder.rows) < 2)
        with pytest.raises(InputError, match=message):
            folder.read()
    folder.rows.reverse()  # whichever comes first
    folder.add("b.tsv", B, text="".join(lines[:-1]), listed=False)
    with pytest.raises(InputError, match=r"b.tsv: ends after 6 of the 7 rows"):
        folder.read()
    # The last field is not read, so its end cannot be missed.
    folder.add("b.tsv", B, text=whole[:-1], listed=False)
    assert folder.read()[B].to_list()[4:] == [1, 2, 3]


@pytest.mark.parametrize("cut", [1, 12, 100])
def test_a_gzip_cut_short_is_one_line(tmp_path, cut):
    packed = gzip.compress(star_text((1, 2, 3)).encode())
    (tmp_path / "a.tsv.gz").write_bytes(packed[:-cut])
    with pytest.raises(InputError, match=r"a.tsv.gz: the compressed file is cut short or damaged"):
        read_star_file(tmp_path / "a.tsv.gz", "unstranded")


def test_files_that_the_sheet_does_not_name_are_said(folder):
    folder.add("a.tsv", A).add("u2/b.tsv.gz", B, listed=False).add("u2/annotations.txt", B, listed=False)
    assert list(folder.read()) == [A] and folder.notes == "1 file that no row of the sheet names, such as b.tsv.gz"


def test_missing_rights_are_one_line(not_mine):
    for name in ("mine_alone.png", "closed/a.png"):
        with pytest.raises(InputError, match=rf"{name}: .*Permission denied"):
            read_star_file(not_mine / name, "unstranded")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("", "gone.tsv", A)], "row 2: file 'gone.tsv' is not in"),
        ([("", "a.tsv", A), ("", "b.tsv", A)], f"row 3: Sample ID '{A}' appears twice, already in row 2"),
        ([("", "a.tsv", f"{A}, {B}")], "names several samples"),
        ([("", "", A)], "row 2: column 'File Name' is empty"),
        ([("", "a.tsv", "NA")], "row 2: column 'Sample ID' is empty"),
        ([], "has a header but no rows"),
    ],
)
def test_a_sheet_that_does_not_fit_is_one_line(folder, rows, message):
    folder.add("a.tsv", A, listed=False).add("b.tsv", B, listed=False)
    folder.rows = rows
    with pytest.raises(InputError, match=message):
        folder.read()
