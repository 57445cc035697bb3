"""Damaged tables and matrices: what leaves a reader is a table, or one line."""

import gzip
import io

import anndata
import numpy as np
import pandas as pd
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st

from histoweave.cells.table import read_cells
from histoweave.cohort.tables import read_patients, read_slides
from histoweave.expression.readers import read_expression
from histoweave.settings.cohorts import Cohort, ExpressionInput
from histoweave.tabular.matrix import read_matrix

PATIENTS = b'patient\tlabel\tsite\tage\nP1\tA\tS1\t41\n"P2"\tB\t"S\t2"\t-\nP3\t"A ""b"""\tNA\t\n'
MATRIX = b"gene\tP1\tP2\tP3\nTP53\t1\t2.5\t3\nESR1\t0\tNA\t1e3\nMKI67\t7\t8\t9\n"
CELLS = b"cell,path,label,xmin,ymin,xmax,ymax,patient\nc1,a.png,blast,0,0,9,9.5,P1\nc2,b.zip,,,,,,P2\n"
SLIDES = b"slide\tpatient\tpath\tmpp\ns1\tP1\ta.svs\t0.25\ns2\tP2\tb.svs\t\n"
SPLICES = [
    b"\t", b",", b";", b'"', b'""', b"\n", b"\r", b"\r\n", b"#", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"\x85", b" ",
    "\u2028é\u200b١½".encode(), b"\x1f\x8b", b"PK\x03\x04", b"1e999", b"-inf", b"nan", b"9" * 400, b"\x1b[31m", b"P1", b"gene",
    b"\t" * 50, b"A" * 140_000,
]  # fmt: skip


@st.composite
def damaged(draw, content):
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 30)))
        content = content[:at] + draw(st.one_of(st.sampled_from(SPLICES), st.binary(max_size=6))) + content[end:]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


def texts(*contents):
    return st.one_of(*map(damaged, contents), st.binary(max_size=200))


@fuzz(250)
@given(content=texts(PATIENTS, MATRIX), packed=st.booleans(), name=st.sampled_from(["p.tsv", "p.csv", "p.txt"]))
def test_patients(tmp_path, content, packed, name):
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    table = answer(lambda: read_patients(Cohort(patients=str(tmp_path / name))))
    if not isinstance(table, str):
        assert table["patient"].is_unique and table["patient"].str.len().min() > 0
        assert all(text is None or text.isprintable() or not text.isascii() for text in table["label"])


@fuzz(250)
@given(content=texts(CELLS, SLIDES), name=st.sampled_from(["t.tsv", "t.csv"]))
def test_slides_and_cells(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    cells = answer(lambda: read_cells(str(path), check_paths=False))
    assert isinstance(cells, str) or cells["cell"].is_unique
    given_slides = Cohort(patients="patients.tsv", slides=str(path))
    slides = answer(lambda: read_slides(given_slides, patients={"P1", "P2"}))
    assert isinstance(slides, str) or slides["slide"].is_unique


@fuzz(300)
@given(content=texts(MATRIX, PATIENTS), packed=st.booleans(), name=st.sampled_from(["m.tsv", "m.csv", "m.txt"]))
def test_text_matrices(tmp_path, content, packed, name):
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    found = answer(lambda: read_matrix(tmp_path / name))
    if not isinstance(found, str):
        assert found.values.shape == (len(found.row_names), len(found.column_names))
    source = ExpressionInput(path=str(tmp_path / name), unit="counts")
    read = answer(lambda: read_expression(source, patients={"P1", "P2", "P3"}, tcga=False))
    if not isinstance(read, str):
        assert read.values.index.is_unique and not np.isinf(read.values.to_numpy()).any()


def stored(write):
    out = io.BytesIO()
    write(out)
    return out.getvalue()


TABLE = pd.DataFrame({"id": ["P1", "P2"], "TP53": [1.5, None], "n": [3, 4]})
PARQUET = [
    stored(lambda out, t=t: t.to_parquet(out)) for t in (TABLE, TABLE.set_index("id"), TABLE.astype({"id": "category"}))
]


@fuzz(300)
@given(content=st.sampled_from(PARQUET), data=st.data())
def test_parquet_matrices(tmp_path, content, data):
    (tmp_path / "m.parquet").write_bytes(data.draw(damaged(content)))
    answer(lambda: read_matrix(tmp_path / "m.parquet"))


@fuzz(10)
@given(data=st.data())
def test_h5ad_matrices(tmp_path_factory, tmp_path, data):
    whole = tmp_path_factory.getbasetemp() / "whole.h5ad"
    if not whole.exists():
        anndata.AnnData(np.ones((2, 3)), obs=pd.DataFrame(index=["P1", "P2"])).write_h5ad(whole)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "m.h5ad").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    answer(lambda: read_matrix(tmp_path / "m.h5ad"))
