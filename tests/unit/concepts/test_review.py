"""What an expert's table may look like, and what is refused."""

import codecs
import json
import os
import shutil
import subprocess

import pytest
from running import ROOT

from histoweave.concepts.review import COLUMNS, read_review, rejected_concepts
from histoweave.errors import InputError

SHA = "ab" * 32
HEADER = "concept,name,verdict,comment,sae_sha256\n"


def read(tmp_path, content, **more):
    path = tmp_path / "review.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_review(path, sae_sha256=SHA, **more)


def test_reads_what_the_gallery_saves(tmp_path):
    table = read(
        tmp_path,
        HEADER
        + f'12,"Auer rods, bundled",accepted,"said ""typical""\nsecond line",{SHA}\n'
        + f"3,,rejected,,{SHA}\n4,<b>=1+1</b>,,only a name,{SHA}\n",
        n_latents=13,
    )
    assert table.columns.tolist() == COLUMNS[:4]
    assert table["concept"].tolist() == [3, 4, 12]
    assert table["name"].tolist() == ["", "<b>=1+1</b>", "Auer rods, bundled"]
    assert table["verdict"].tolist() == ["rejected", "", "accepted"]
    assert table["comment"].tolist() == ["", "only a name", 'said "typical"\nsecond line']


def test_reads_what_a_spreadsheet_made_of_it(tmp_path):
    text = f"sae_sha256;verdict;comment;name;concept\r\n{SHA};Accepted;;Körnchen;5\r\n;;;;\r\n"
    table = read(tmp_path, codecs.BOM_UTF8 + text.encode())
    assert table.to_dict("records") == [{"concept": 5, "name": "Körnchen", "verdict": "accepted", "comment": ""}]


TYPED = ["-ve nuclei", "'-ve", "''=x", "=1+1", "+", "@home", "＝1", "it's", "'quoted'", "'", "a-b", "- one\n- two"]


def test_names_are_as_they_were_typed_after_any_number_of_rounds(tmp_path):
    """Saved by the gallery, read by a run, shown by its gallery, saved again: in JavaScript and in Python."""
    node = shutil.which("node")
    if node is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("node is not installed")
    code = (ROOT / "workflow/histoweave/pages/concepts/review_csv.js").read_text()
    code += """
const [shown, sha256] = JSON.parse(require("fs").readFileSync(0));
const saved = toCsv(shown, sha256);
console.log(JSON.stringify([saved, fromCsv(saved, sha256, 100)]));
"""
    shown = {str(n): {"name": text, "verdict": "", "comment": text} for n, text in enumerate(TYPED)}
    for _ in range(3):
        run = subprocess.run(
            [node, "-e", code], input=json.dumps([shown, SHA]), capture_output=True, text=True, check=True
        )
        saved, loaded = json.loads(run.stdout)
        assert loaded == shown
        assert all(
            not line.split(",")[1].lstrip('"').startswith(tuple("=+-@＝")) for line in saved.split("\r\n") if line
        )
        table = read(tmp_path, saved)
        assert table["comment"].to_list() == TYPED
        assert table["name"].to_list() == [" ".join(text.split()) for text in TYPED]
        shown = {
            str(row.concept): {"name": text, "verdict": "", "comment": row.comment}
            for row, text in zip(table.itertuples(), TYPED, strict=True)
        }


def test_a_header_alone_is_an_empty_review(tmp_path):
    table = read(tmp_path, HEADER)
    assert table.columns.tolist() == COLUMNS[:4] and not len(table)
    assert table["concept"].dtype == "int64"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "is empty; copy it again"),
        ("\n", "is empty"),
        ("a,b\n1,2\n", "column 'concept' is missing"),
        ("concept,name,verdict,comment\n1,x,,\n", "column 'sae_sha256' is missing"),
        (HEADER + f"1,x,,,{'cd' * 32}\n", "row 2: the answer is about another sparse autoencoder (cdcdcdcdcdcd, this"),
        (HEADER + "1,x,,,\n", "row 2: the answer is about another sparse autoencoder (none given"),
        (HEADER.replace("comment", "verdict"), "column 'verdict' occurs twice"),
        (HEADER + f"1,x\x1b,,,{SHA}\n", "row 2: holds the control character U+001B"),
        (HEADER + f"1,x,maybe,,{SHA}\n", "row 2: unknown verdict 'maybe'; use accepted, rejected, or nothing"),
        (HEADER + f"1,x,acepted,,{SHA}\n", "unknown verdict 'acepted' (did you mean 'accepted'?)"),
        (HEADER + f"1,x,,,{SHA}\n2,y,,,{SHA}\n01,z,,,{SHA}\n", "row 4: concept 1 occurs twice"),
        (HEADER + f"-1,x,,,{SHA}\n", "row 2: concept '-1' is not a number of a latent"),
        (HEADER + f"1.5,x,,,{SHA}\n", "row 2: concept '1.5' is not a number"),
        (HEADER + f"²,x,,,{SHA}\n", "row 2: concept '²' is not a number"),
        (HEADER + f",x,,,{SHA}\n", "row 2: concept '' is not a number"),
        (HEADER + f"20,x,,,{SHA}\n", "row 2: there is no concept 20, the dictionary has 0 to 19"),
        (HEADER + f"1,{'x' * 101},,,{SHA}\n", "row 2: the name has 101 characters; use at most 100"),
        (HEADER + f"1,x,,{'y' * 2001},{SHA}\n", "row 2: the comment has 2001 characters; use at most 2000"),
        (HEADER + f"1,x,,{SHA}\n", "row 2: has 4 cells, but the header has 5; fix the row"),
        (HEADER + f'1,"x,,,{SHA}\n', "line 2: is not a CSV (unexpected end of data)"),
        (HEADER + f"1,{'x' * 200_000},,,{SHA}\n", "is not a CSV (field larger than field limit"),
        (HEADER.encode() + f"1,K\u00f6rnchen,,,{SHA}\n".encode("cp437"), "row 2: byte 0x94 is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, content, n_latents=20)
    assert message in str(error.value)
    assert "review.csv" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"review\.csv: does not exist"):
        read_review(tmp_path / "review.csv", sae_sha256=SHA)


def test_rejected_concepts_are_those_and_never_all(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(HEADER + f"7,,rejected,,{SHA}\n1,x,accepted,,{SHA}\n0,,Rejected,,{SHA}\n2,y,,,{SHA}\n")
    assert rejected_concepts(path, sae_sha256=SHA, n_latents=8) == [0, 7]
    path.write_text(HEADER + "".join(f"{concept},,rejected,,{SHA}\n" for concept in range(3)))
    assert rejected_concepts(path, sae_sha256=SHA, n_latents=4) == [0, 1, 2]
    with pytest.raises(InputError, match=r"review\.csv: rejects all 3 concepts"):
        rejected_concepts(path, sae_sha256=SHA, n_latents=3)
    with pytest.raises(InputError, match="another sparse autoencoder"):
        rejected_concepts(path, sae_sha256="00" * 32, n_latents=8)
