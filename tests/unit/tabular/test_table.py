"""Tables of users: encodings, delimiters, lengths, quotation marks, missing values, headings."""

import gzip
import os

import pytest

from histoweave.errors import InputError
from histoweave.tabular.missing import is_missing
from histoweave.tabular.table import read_table
from histoweave.tabular.text import read_text_file

HEAD = "patient\tlabel\tsite\n"
ROWS = "P1\tA\tS1\nP2\tB\tS2\n"
READ = [["P1", "A", "S1"], ["P2", "B", "S2"]]


def write(folder, content, name="p.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(folder, content, name="p.tsv"):
    return read_table(write(folder, content, name), required=["patient", "label"])


@pytest.mark.parametrize(
    ("name", "content", "notes"),
    [
        ("p.tsv", HEAD + ROWS, ""),
        ("p.tsv", (HEAD + ROWS).replace("\n", "\r\n"), ""),
        ("p.tsv", (HEAD + ROWS).replace("\n", "\r"), ""),
        ("p.tsv", (HEAD + ROWS).rstrip("\n"), ""),
        ("p.tsv", "\ufeff" + HEAD + ROWS, ""),
        ("p.tsv", (HEAD + ROWS).encode("utf-16"), ""),
        ("p.tsv", (HEAD + ROWS).encode("utf-16-le"), ""),
        ("p.tsv", (HEAD + ROWS).encode("utf-16-be"), ""),
        ("p.tsv", (HEAD + ROWS).encode("utf-32"), ""),
        ("p.tsv", gzip.compress((HEAD + ROWS).encode(), mtime=0), ""),
        ("p.tsv.gz", gzip.compress((HEAD + ROWS).encode(), mtime=0), ""),
        ("p.csv", (HEAD + ROWS).replace("\t", ","), ""),
        ("p.csv", (HEAD + ROWS).replace("\t", ";"), ""),
        ("p.csv", "sep=;\n" + (HEAD + ROWS).replace("\t", ";"), ""),
        ("p.csv", "sep=\t\n" + HEAD + ROWS, ""),
        ("p.csv", HEAD + ROWS, ""),
        ("p.tsv", (HEAD + ROWS).replace("\t", ","), ""),
        ("p.txt", (HEAD + ROWS).replace("\t", " "), ""),
        ("p.tsv", HEAD + ROWS.replace("\n", "\t\n"), "1 empty field beyond the header dropped"),
        ("p.tsv", HEAD + ROWS.replace("\n", "\t \t\n", 1), "2 empty fields beyond the header dropped"),
        ("p.tsv", HEAD.replace("\n", "\t\n") + ROWS, "1 empty field beyond the header dropped"),
        ("p.tsv", HEAD + "P1\tA\tS1\n\n\t\t\nP2\tB\tS2\n\n", "2 blank lines skipped"),
        ("p.tsv", "# made on Monday\n" + HEAD + "# a remark\n" + ROWS, "2 comment lines skipped"),
        ("p.tsv", " patient \tlabel\t site\n P1\tA \tS1\nP2\tB\tS2\n", ""),
        ("p.csv", '"patient","label","site"\n"P1","A","S1"\n"P2","B","S2"\n', ""),
        ("p.csv", '"","patient","label","site"\n"1","P1","A","S1"\n"2","P2","B","S2"\n', "names in front"),
        ("p.txt", '"patient" "label" "site"\n"1" "P1" "A" "S1"\n"2" "P2" "B" "S2"\n', "names in front"),
        ("p.tsv", HEAD + "2\tP1\tA\tS1\n7\tP2\tB\tS2\n", "names in front"),
        ("p.csv", "patient,label,site\nP1,P1,A,S1\nP2,P2,B,S2\n", "names in front"),
        ("p.tsv", "patient\tlabel\tsite\t\tx\nP1\tA\tS1\t\t1\nP2\tB\tS2\tNA\t1\n", "column 4 without heading"),
    ],
)
def test_forms_that_are_read(tmp_path, name, content, notes):
    table = read(tmp_path, content, name)
    assert table.rows[["patient", "label", "site"]].to_numpy().tolist() == READ
    assert notes in table.reading.notes and bool(notes) == bool(table.reading.notes)
    assert table.reading.rows == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.tsv", HEAD + "P1\tA\n", "row 2: has 2 fields, and the header has 3"),
        ("p.tsv", HEAD + "P1\tA\tS1\nP2\tB\tS2\tmore\n", "row 3: has 4 fields"),
        ("p.tsv", "# remark\n\n" + HEAD + "P1\tA\tS1\nP2\tB\n", "row 5: has 2 fields"),
        ("p.csv", "patient,label,note\nP1,A,small, round\nP2,B,large, round\n", "row 2: has 4 fields"),
        ("p.csv", "patient,age,label\n1,63,5,A\n2,61,2,B\n", "row 2: has 4 fields"),
        ("p.txt", "patient label\n1 Luminal A\n2 Basal like\n", "row 2: has 3 fields"),
        ("p.csv", "patient,label\nP1,A\n#REF!,B\n", "row 3: '#REF!' is an error of a spreadsheet"),
        ("p.csv", "patient,label,note\n2,A,small, round\n1,B,large, round\n", "row 2: has 4 fields"),
        ("p.tsv", HEAD + 'P1\tA\t"2nd\nP2\tB\t"S2\n', "row 2: a quotation mark"),
        ("p.tsv", HEAD + 'P1\tA\tS1\nP2\tB\t"core" missing\n', "row 3: a quotation mark"),
        ("p.csv", 'patient,label\nP1,"A\nB"\n', "row 2: a quotation mark"),
        ("p.tsv", "patient\tlabel\tlabel\nP1\tA\tB\n", "column 'label' occurs twice"),
        ("p.tsv", "patient\tlabel\t\tx\nP1\tA\tB\t1\n", "column 3 has values and no heading"),
        ("p.tsv", HEAD + "P1\tA\x07\tS1\n", "row 2: holds the control character U+0007"),
        ("p.tsv", HEAD + "P1\tA\0\tS1\n", "row 2: holds a byte of value 0"),
        ("p.tsv", "patient\tlabel\nP1\tMöt\n".encode("cp437"), "row 2: byte 0x94 is not UTF-8"),
        ("p.tsv", "patient\tlabel\nP1\té\n".encode() + b"P2\t\xe9\n", "row 3: byte 0xe9 is not UTF-8"),
        ("p.tsv", "patient\tlabel\nP1\tA".encode("utf-16")[:-1], "damaged"),
        ("p.tsv", b"PK\x03\x04 and so on", "a spreadsheet"),
        ("p.tsv", b"<!DOCTYPE html><html>", "a web page"),
        ("p.tsv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("p.tsv.gz", gzip.compress((HEAD + ROWS).encode(), mtime=0)[:-9], "cut short or damaged"),
        ("p.tsv", "", "is empty"),
        ("p.tsv", " \n\t\n", "is empty"),
        ("p.tsv", "# nothing else\n", "holds no header"),
        ("p.tsv", "#patient\tlabel\nP1\tA\nP2\tB\n", "row 1: starts with '#'"),
        ("p.csv", "patient,a;label,b;x\nP1,1;2,3;4\n", "with commas and with semicolons"),
        ("p.xlsx", "x", "unknown table form '.xlsx'"),
    ],
)
def test_what_is_refused(tmp_path, name, content, words):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content, name)
    assert words in str(caught.value)


def test_western_letters_are_read_from_latin_1(tmp_path):
    table = read(tmp_path, "patient\tlabel\nP1\tMüller, 37 °C\n".encode("latin-1"))
    assert table.rows["label"].tolist() == ["Müller, 37 °C"] and table.reading.encoding == "Latin-1"


def test_a_hash_inside_a_field_is_no_comment(tmp_path):
    table = read(tmp_path, "patient\tlabel\tcore #\nP1\tA#1\t#3\n")
    assert table.rows.iloc[0].tolist() == ["P1", "A#1", "#3"]


def test_a_missing_id_is_no_comment(tmp_path):
    assert read(tmp_path, "patient,label\nP1,A\n#N/A,B\n", "p.csv").rows["patient"].tolist() == ["P1", ""]


@pytest.mark.parametrize("encoding, word", [("cp1251", "Муж"), ("cp1254", "Diş"), ("cp1253", "Άλφα")])
def test_words_of_other_alphabets_are_not_read_as_western(tmp_path, encoding, word):
    with pytest.raises(InputError, match="is not UTF-8"):
        read(tmp_path, f"patient\tlabel\nP1\t{word}\n".encode(encoding))


def test_missing_values(tmp_path):
    words = [
        "",
        " ",
        "      ",
        "     NA",
        "<NA>",
        "#NV",
        "NA",
        "na",
        "N/A",
        "n/a",
        "NaN",
        "nan",
        "null",
        "NULL",
        "#N/A",
        "-",
    ]
    rows = "".join(f"P{n}\tA\t{word}\n" for n, word in enumerate(words))
    assert set(read(tmp_path, HEAD + rows).rows["site"]) == {""}
    kept = ["0", "none", "Nan1", "--", "NAT", "unknown", "N", "A"]
    rows = "".join(f"P{n}\tA\t{word}\n" for n, word in enumerate(kept))
    assert read(tmp_path, HEAD + rows).rows["site"].tolist() == kept
    assert all(map(is_missing, words)) and not any(map(is_missing, kept))


def test_numbers_of_lines_are_those_of_the_file(tmp_path):
    table = read(tmp_path, "# one\n\n" + HEAD + "P1\tA\tS1\n# five\n\nP2\tB\tS2\n")
    assert table.where(0).endswith("row 4") and table.where(1).endswith("row 7")


def test_what_was_read_is_said(tmp_path):
    table = read(tmp_path, "# x\n" + HEAD + ROWS)
    said = table.said("patients", table.rows["patient"].tolist()).sentence()
    for words in ("2 rows", "3 columns", "UTF-8", "tabs", "first id P1", "last id P2", "1 comment line skipped"):
        assert words in said


def test_tables_without_the_right_to_read_them(not_mine):
    for name in ("mine_alone.png", "closed/a.png"):
        with pytest.raises(InputError, match="Permission denied"):
            read_text_file(not_mine / name, max_bytes=100)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.tsv")
    for name, words in (
        ("pipe.tsv", "is a pipe, not a file"),
        ("", "unknown table form"),
        ("gone.tsv", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            read_table(str(tmp_path / name), required=["patient"])
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_table(str(tmp_path / "folder.tsv"), required=["patient"])
